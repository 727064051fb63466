package content

// long: it is a table, and a switch because the package keeps no state.
func builtinType(ext string) string {
	switch ext {
	case ".7z":
		return "application/x-7z-compressed"
	case ".aac":
		return "audio/aac"
	case ".apk":
		return "application/vnd.android.package-archive"
	case ".asc", ".sig":
		return "application/pgp-signature"
	case ".avif":
		return "image/avif"
	case ".bin", ".img", ".iso", ".qcow2", ".raw", ".so", ".a", ".o", ".obj", ".exe", ".dll", ".whl", ".gem", ".drpm":
		return "application/octet-stream"
	case ".bmp":
		return "image/bmp"
	case ".br":
		return "application/x-brotli"
	case ".bz2", ".tbz", ".tbz2":
		return "application/x-bzip2"
	case ".c", ".cc", ".cpp", ".conf", ".cfg", ".h", ".ini", ".ksh", ".log", ".pl", ".txt", ".text", ".repo", ".treeinfo":
		return "text/plain"
	case ".cab":
		return "application/vnd.ms-cab-compressed"
	case ".cer", ".crt", ".der":
		return "application/x-x509-ca-cert"
	case ".cpio":
		return "application/x-cpio"
	case ".css":
		return "text/css"
	case ".csv":
		return "text/csv"
	case ".deb", ".udeb":
		return "application/vnd.debian.binary-package"
	case ".dmg":
		return "application/x-apple-diskimage"
	case ".doc":
		return "application/msword"
	case ".docx":
		return "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
	case ".dsc":
		return "text/prs.lines.tag"
	case ".eot":
		return "application/vnd.ms-fontobject"
	case ".epub":
		return "application/epub+zip"
	case ".flac":
		return "audio/flac"
	case ".gif":
		return "image/gif"
	case ".gpg", ".pgp":
		return "application/pgp-encrypted"
	case ".gz", ".tgz":
		return "application/gzip"
	case ".htm", ".html":
		return "text/html"
	case ".ico":
		return "image/vnd.microsoft.icon"
	case ".jar":
		return "application/java-archive"
	case ".jpe", ".jpeg", ".jpg":
		return "image/jpeg"
	case ".js", ".mjs":
		return "text/javascript"
	case ".json", ".map":
		return "application/json"
	case ".key", ".pem":
		return "application/x-pem-file"
	case ".lz":
		return "application/x-lzip"
	case ".lz4":
		return "application/x-lz4"
	case ".lzma":
		return "application/x-lzma"
	case ".md", ".markdown":
		return "text/markdown"
	case ".mp3":
		return "audio/mpeg"
	case ".mp4":
		return "video/mp4"
	case ".mpeg", ".mpg":
		return "video/mpeg"
	case ".msi":
		return "application/x-msi"
	case ".oga", ".ogg", ".opus":
		return "audio/ogg"
	case ".otf":
		return "font/otf"
	case ".pdf":
		return "application/pdf"
	case ".png":
		return "image/png"
	case ".ppt":
		return "application/vnd.ms-powerpoint"
	case ".pptx":
		return "application/vnd.openxmlformats-officedocument.presentationml.presentation"
	case ".ps":
		return "application/postscript"
	case ".py":
		return "text/x-python"
	case ".rpm", ".srpm":
		return "application/x-rpm"
	case ".rst":
		return "text/x-rst"
	case ".rtf":
		return "application/rtf"
	case ".sh":
		return "application/x-sh"
	case ".sqlite":
		return "application/vnd.sqlite3"
	case ".svg":
		return "image/svg+xml"
	case ".tar":
		return "application/x-tar"
	case ".tif", ".tiff":
		return "image/tiff"
	case ".toml":
		return "application/toml"
	case ".ttf":
		return "font/ttf"
	case ".txz", ".xz":
		return "application/x-xz"
	case ".wasm":
		return "application/wasm"
	case ".wav":
		return "audio/x-wav"
	case ".webm":
		return "video/webm"
	case ".webp":
		return "image/webp"
	case ".woff":
		return "font/woff"
	case ".woff2":
		return "font/woff2"
	case ".xhtml":
		return "application/xhtml+xml"
	case ".xls":
		return "application/vnd.ms-excel"
	case ".xlsx":
		return "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
	case ".xml", ".xsd", ".xsl":
		return "text/xml"
	case ".yaml", ".yml":
		return "application/yaml"
	case ".z":
		return "application/x-compress"
	case ".zck":
		return "application/x-zchunk"
	case ".zip":
		return "application/zip"
	case ".zst", ".zstd", ".tzst":
		return "application/zstd"
	default:
		return "application/octet-stream"
	}
}
