package work

import (
	"github.com/pulpgo/pulpcore/download"
	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/secrets"
)

// NetworkConfig is how a file is fetched without a remote: the network settings of one, with the secrets in the clear,
// because the arguments of a task are encrypted as a whole. Its members mean what they mean on a remote.
type NetworkConfig struct {
	CACert              *string             `json:"ca_cert" doc:"PEM certificates trusted besides the system's."`
	ClientCert          *string             `json:"client_cert" doc:"PEM certificate chain shown to the server."`
	ClientKey           *string             `json:"client_key" doc:"PEM private key of client_cert."`
	TLSValidation       *bool               `json:"tls_validation" doc:"Whether the server's certificate is checked."`
	ProxyURL            *string             `json:"proxy_url" doc:"URL of a proxy, without credentials."`
	ProxyUsername       *string             `json:"proxy_username" doc:"User name for the proxy."`
	ProxyPassword       *string             `json:"proxy_password" doc:"Password for the proxy."`
	Username            *string             `json:"username" doc:"User name for the server."`
	Password            *string             `json:"password" doc:"Password for the server."`
	Headers             []map[string]string `json:"headers" doc:"Headers of the requests."`
	DownloadConcurrency *int                `json:"download_concurrency" doc:"Downloads at a time."`
	MaxRetries          *int                `json:"max_retries" doc:"Attempts that may fail in a row before the last one."`
	RateLimit           *int                `json:"rate_limit" doc:"Requests per second."`
	TotalTimeout        *float64            `json:"total_timeout" doc:"Seconds for one attempt with its body."`
	ConnectTimeout      *float64            `json:"connect_timeout" doc:"Seconds to get a connection."`
	SockConnectTimeout  *float64            `json:"sock_connect_timeout" doc:"Seconds for the TCP connect."`
	SockReadTimeout     *float64            `json:"sock_read_timeout" doc:"Seconds that the server may be silent."`
}

// Config returns how the file is downloaded. The result holds the secrets in the clear. Credentials of the URL win.
func (s *Source) Config(checksums *hashlib.Checksums) *download.Config {
	n := s.Network
	if n == nil {
		n = &NetworkConfig{}
	}
	remote := models.Remote{
		CACert: n.CACert, ClientCert: n.ClientCert, ClientKey: secret(n.ClientKey), TLSValidation: n.TLSValidation,
		Username: secret(n.Username), Password: secret(n.Password),
		ProxyURL: n.ProxyURL, ProxyUsername: secret(n.ProxyUsername), ProxyPassword: secret(n.ProxyPassword),
		Headers: n.Headers, DownloadConcurrency: n.DownloadConcurrency, MaxRetries: n.MaxRetries, RateLimit: n.RateLimit,
		TotalTimeout: n.TotalTimeout, ConnectTimeout: n.ConnectTimeout,
		SockConnectTimeout: n.SockConnectTimeout, SockReadTimeout: n.SockReadTimeout,
	}
	// No import paths: a file on this machine is not the client's.
	config := remote.DownloadConfig(checksums, nil)
	if s.Username != "" || s.Password != "" {
		config.Username, config.Password = s.Username, s.Password
	}
	return config
}

func secret(text *string) secrets.EncryptedText {
	if text == nil {
		return secrets.EncryptedText{}
	}
	return secrets.NewEncryptedText(*text)
}
