package main

import (
	"os"

	_ "gocloud.dev/blob/s3blob" // a host chooses its drivers: this one can keep artifacts in S3

	"github.com/pulpgo/pulpcore/settings"
)

// exportCredentials puts STORAGE_CREDENTIALS where the S3 driver looks for them: into the environment, which in this
// program is nobody else's.
func exportCredentials(set *settings.Set) error {
	c := set.Core().StorageCredentials
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
