// Package s3 lets the program of package pulpcmd keep artifacts in S3. It is a package of its own because of the size
// of the driver.
//
//	p := &pulpcmd.Program{Name: "myserver", Store: s3.Open}
package s3

import (
	"context"
	"os"

	"github.com/pulpgo/pulpcore/settings"
	"github.com/pulpgo/pulpcore/storage"
	"github.com/pulpgo/pulpcore/storage/s3storage"
)

// Open opens the store that STORAGE_URL names, if that is one of S3, or else returns nil, which leaves a folder to the
// App. It is a value of pulpcmd.Program.Store. It sets AWS_… variables of the process to STORAGE_CREDENTIALS.
//
// Errors: those of storage.Open.
func Open(ctx context.Context, set *settings.Set) (*storage.Store, error) {
	core := set.Core()
	if core.StorageURL.Scheme() != "s3" {
		return nil, nil
	}
	if err := exportCredentials(core.StorageCredentials); err != nil {
		return nil, err
	}
	return storage.Open(ctx, core.StorageURL.Reveal(), &storage.Options{
		Checksums: core.Checksums, BeforeSign: s3storage.BeforeSign, Log: set.Logger(os.Stderr),
	})
}

// exportCredentials puts STORAGE_CREDENTIALS where the S3 driver looks for them: into the environment.
func exportCredentials(c settings.StorageCredentials) error {
	// The environment belongs to the whole process, which this program has for itself. A host inside a larger program must
	// not do this.
	for name, secret := range map[string]settings.Secret{
		"AWS_ACCESS_KEY_ID": c.AccessKey, "AWS_SECRET_ACCESS_KEY": c.SecretKey, "AWS_SESSION_TOKEN": c.SessionToken,
	} {
		if secret.IsZero() {
			continue
		}
		if err := os.Setenv(name, secret.Reveal()); err != nil {
			return err
		}
	}
	return nil
}
