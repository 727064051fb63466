package settings

import (
	"errors"
	"net/url"
	"path/filepath"
	"strings"
)

// pulpStorage is an entry of Django's STORAGES.
type pulpStorage struct {
	Backend string         `setting:"BACKEND"`
	Options storageOptions `setting:"OPTIONS"`
}

// storageOptions is the options of the backends that Pulp supports. Those in the tag tune details that gocloud's
// drivers decide for themselves.
type storageOptions struct {
	Location string `setting:"location"` // FileSystem: a folder; S3, Azure: a prefix

	BucketName      string `setting:"bucket_name"`
	Region          string `setting:"region_name"`
	Endpoint        string `setting:"endpoint_url"`
	AddressingStyle string `setting:"addressing_style"`
	AccessKey       Secret `setting:"access_key"`
	SecretKey       Secret `setting:"secret_key"`
	SecurityToken   Secret `setting:"security_token"`

	AccountName string `setting:"account_name"`
	Container   string `setting:"azure_container"`
	AccountKey  Secret `setting:"account_key"`

	_ struct{} `setting:",ignore=base_url signature_version default_acl querystring_auth querystring_expire"`
	_ struct{} `setting:",ignore=file_overwrite overwrite_files gzip max_memory_size use_ssl verify"`
	_ struct{} `setting:",ignore=object_parameters custom_domain url_protocol expiration_secs timeout"`
	_ struct{} `setting:",ignore=upload_max_conn project_id file_permissions_mode directory_permissions_mode"`
}

// fromStorages derives STORAGE_URL, if it is not set, from STORAGES.default, or else takes the folder MEDIA_ROOT.
func fromStorages(core Core, pulp pulpKeys) ([]derivation, error) {
	if !core.StorageURL.IsZero() {
		return nil, nil
	}
	st, ok := pulp.Storages["default"]
	if !ok {
		return []derivation{{"STORAGE_URL", "MEDIA_ROOT", folderURL(core.MediaRoot)}}, nil
	}
	u, err := st.url(core.MediaRoot)
	if err != nil {
		return nil, err
	}
	// A bucket URL of gocloud has no credentials; the host hands them to the driver.
	ds := []derivation{{"STORAGE_URL", "STORAGES", u}}
	for _, c := range []struct {
		key   string
		value Secret
	}{
		{"ACCESS_KEY", st.Options.AccessKey},
		{"SECRET_KEY", st.Options.SecretKey},
		{"SESSION_TOKEN", st.Options.SecurityToken},
		{"ACCOUNT_KEY", st.Options.AccountKey},
	} {
		if !c.value.IsZero() {
			ds = append(ds, derivation{"STORAGE_CREDENTIALS__" + c.key, "STORAGES", c.value})
		}
	}
	return ds, nil
}

func (st pulpStorage) url(mediaRoot string) (URL, error) {
	// Only the class counts: the modules before it differ between Django and the versions of django-storages.
	switch name := st.Backend[strings.LastIndexByte(st.Backend, '.')+1:]; name {
	case "", "FileSystem", "FileSystemStorage":
		if st.Options.Location == "" {
			return folderURL(mediaRoot), nil
		}
		abs, err := filepath.Abs(st.Options.Location)
		if err != nil {
			return URL{}, wrongKey("STORAGES__default__OPTIONS__location", "cannot be made absolute: %v", err)
		}
		return folderURL(abs), nil
	case "S3Storage", "S3Boto3Storage", "PulpS3Storage":
		return st.Options.s3()
	case "AzureStorage":
		return st.Options.azure()
	case "GoogleCloudStorage":
		if st.Options.BucketName == "" {
			return URL{}, wrongKey("STORAGES__default__OPTIONS__bucket_name", "is missing")
		}
		return bucketURL("gs", st.Options.BucketName, st.Options.Location, url.Values{}), nil
	default:
		return URL{}, wrongKey("STORAGES__default__BACKEND",
			"%q is not a known backend; set STORAGE_URL to a gocloud bucket URL instead", st.Backend)
	}
}

func (o storageOptions) s3() (URL, error) {
	if o.BucketName == "" {
		return URL{}, wrongKey("STORAGES__default__OPTIONS__bucket_name", "is missing")
	}
	q := url.Values{}
	if o.Region != "" {
		q.Set("region", o.Region)
	}
	if o.Endpoint != "" {
		q.Set("endpoint", o.Endpoint)
	}
	switch o.AddressingStyle {
	case "", "auto":
		if o.Endpoint != "" { // third-party stores rarely answer to a name per bucket
			q.Set("use_path_style", "true")
		}
	case "path":
		q.Set("use_path_style", "true")
	case "virtual":
	default:
		return URL{}, wrongKey("STORAGES__default__OPTIONS__addressing_style", "is none of auto, path, virtual")
	}
	return bucketURL("s3", o.BucketName, o.Location, q), nil
}

func (o storageOptions) azure() (URL, error) {
	var faults []error
	if o.Container == "" {
		faults = append(faults, wrongKey("STORAGES__default__OPTIONS__azure_container", "is missing"))
	}
	if o.AccountName == "" {
		faults = append(faults, wrongKey("STORAGES__default__OPTIONS__account_name", "is missing"))
	}
	u := bucketURL("azblob", o.Container, o.Location, url.Values{"storage_account": {o.AccountName}})
	return u, errors.Join(faults...)
}

func bucketURL(scheme, bucket, prefix string, q url.Values) URL {
	if prefix = strings.Trim(prefix, "/"); prefix != "" {
		// gocloud puts the prefix in front of a key as it is: without the slash it would run into the first folder.
		q.Set("prefix", prefix+"/")
	}
	u := url.URL{Scheme: scheme, Host: bucket, RawQuery: q.Encode()}
	return NewURL(u.String())
}

func folderURL(dir string) URL {
	dir = filepath.ToSlash(dir)
	if !strings.HasPrefix(dir, "/") {
		dir = "/" + dir // a Windows drive
	}
	u := url.URL{Scheme: "file", Path: dir}
	return NewURL(u.String())
}
