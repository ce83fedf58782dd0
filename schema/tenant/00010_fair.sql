-- +goose Up
-- For whom a signing key was reserved, so that who reserves many makes room for others: of IPv6 the network of 48 bits, and
-- the address (of IPv6 its network of 64 bits). Empty: an operator.
ALTER TABLE pds_tenant.reserved_key ADD COLUMN network text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE pds_tenant.reserved_key ADD COLUMN address text COLLATE "C" NOT NULL DEFAULT '';
CREATE INDEX reserved_key_network ON pds_tenant.reserved_key (network, address);

-- +goose Down
DROP INDEX pds_tenant.reserved_key_network;
ALTER TABLE pds_tenant.reserved_key DROP COLUMN address;
ALTER TABLE pds_tenant.reserved_key DROP COLUMN network;
