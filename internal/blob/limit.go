package blob

// LimitOf is what an account's blobs may take, 0: no limit. own is a limit of its own; nil: the tenant's setting.
func LimitOf(own *int64, setting int64) int64 {
	if own != nil {
		return *own
	}
	return setting
}
