-- What lies in the file. Bytes are pieces under a name of their own, given once: an object's etag is that name, and a
-- commit hands it from the upload to the object. A second process is kept out, and every transaction is synced.
PRAGMA page_size = 16384;
PRAGMA locking_mode = EXCLUSIVE;
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
CREATE TABLE IF NOT EXISTS object (key TEXT PRIMARY KEY, size INTEGER NOT NULL, content TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS upload (id TEXT PRIMARY KEY, record BLOB NOT NULL, content TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS piece (content TEXT NOT NULL, offset INTEGER NOT NULL, data BLOB NOT NULL, UNIQUE (content, offset));
CREATE TRIGGER IF NOT EXISTS object_gone AFTER DELETE ON object BEGIN DELETE FROM piece WHERE content = old.content; END;
CREATE TRIGGER IF NOT EXISTS upload_gone AFTER DELETE ON upload BEGIN DELETE FROM piece WHERE content = old.content; END;
