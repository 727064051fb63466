Added the settings `CSRF_TRUSTED_ORIGINS` (other origins whose pages may use the API), `CONTENT_HAS_OWN_ORIGIN` (no sandbox for files
at `CONTENT_ORIGIN`, and no API there), and `HTTP_HEADER_TIMEOUT`, `HTTP_BODY_TIMEOUT`, `HTTP_SEND_TIMEOUT` and `HTTP_IDLE_TIMEOUT`.
