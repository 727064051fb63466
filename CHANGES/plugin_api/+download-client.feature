`models.Remote.DownloadClient` returned the download client of a remote that all parts of a process share.
