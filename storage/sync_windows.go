package storage

import "os"

// syncDir is empty: Windows cannot flush a directory, and NTFS journals its entries.
func syncDir(*os.Root, string) error { return nil }
