// Package s3storage lets package storage keep its bytes in S3 or a service that speaks S3. Importing it registers
// gocloud's driver for s3:// URLs; it is apart from storage because the AWS SDK adds 10 MB to a program.
//
//	store, err := storage.Open(ctx, "s3://bucket?region=eu-1&endpoint=https://…&use_path_style=true",
//		&storage.Options{BeforeSign: s3storage.BeforeSign})
//
// Credentials come from the AWS_* environment, as everywhere. With other services than Amazon's add the parameters
// request_checksum_calculation=when_required and response_checksum_validation=when_required.
package s3storage

import (
	"github.com/aws/aws-sdk-go-v2/service/s3"
	_ "gocloud.dev/blob/s3blob" // the driver of s3:// URLs

	"github.com/pulpgo/pulpcore/storage"
)

// BeforeSign is the storage.Options.BeforeSign for S3: signed URLs answer with the file name and content type asked
// for.
func BeforeSign(as func(any) bool, o storage.SignOptions) error {
	var get *s3.GetObjectInput
	if !as(&get) {
		return nil // another method
	}
	if d := o.Disposition(); d != "" {
		get.ResponseContentDisposition = &d
	}
	if o.ContentType != "" {
		get.ResponseContentType = &o.ContentType
	}
	return nil
}
