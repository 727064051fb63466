`storage/storagetest` is public: a conformance suite for hosts whose bytes lie in a service of their own, run on `storage.New` of their gocloud driver.
