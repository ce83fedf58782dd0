-- What db makes before the migrations run; only sqlc reads this.
CREATE SCHEMA control;
CREATE SCHEMA pds_tenant;
