package identity

import "github.com/did-method-plc/go-didplc"

// Operation is a PLC operation in today's form, and OperationService a service in one: names for those who edit them.
type (
	Operation        = didplc.RegularOp
	OperationService = didplc.OpService
)
