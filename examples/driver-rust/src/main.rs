//! A Longshore driver over one SQLite file. Objects and upload sessions are rows; the bytes of both lie in pieces under a
//! name of their own (schema.sql). So a commit moves no byte, and no object has to fit into memory.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use longshore_driver_sdk::sessions::{SessionTable, Sessions};
use longshore_driver_sdk::*;
use rusqlite::{Connection, ErrorCode, OptionalExtension, Params, Row, Transaction};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    file: PathBuf,
}

struct Store {
    place: backend::Place,
    connection: Mutex<Connection>,
}

struct SqliteDriver(Sessions<Arc<Store>>);

/// How a value is read from a row.
type Read<T> = fn(&Row<'_>) -> rusqlite::Result<T>;

/// What a transaction sees.
struct Rows<'a>(Transaction<'a>);

fn failed(error: rusqlite::Error) -> DriverError {
    let is_full = error.sqlite_error_code() == Some(ErrorCode::DiskFull);
    let reason = if is_full { Reason::NoSpace } else { Reason::IoError };
    DriverError::new(reason, format!("SQLite: {error}")).with_source(error)
}

impl Store {
    /// What fails leaves nothing behind.
    fn transact<T>(&self, work: impl FnOnce(&Rows<'_>) -> Result<T>) -> Result<T> {
        backend::blocking(|| {
            let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
            self.place.check()?;
            let rows = Rows(connection.transaction().map_err(failed)?);
            let outcome = work(&rows)?;
            rows.0.commit().map_err(failed).map(|()| outcome)
        })
    }
}

impl Rows<'_> {
    fn run(&self, sql: &str, values: impl Params) -> Result<bool> {
        let changed = self.0.prepare_cached(sql).and_then(|mut statement| statement.execute(values));
        changed.map(|rows| rows > 0).map_err(failed)
    }

    fn one<T, V: Params>(&self, sql: &str, values: V, read: Read<T>) -> Result<Option<T>> {
        let mut statement = self.0.prepare_cached(sql).map_err(failed)?;
        statement.query_row(values, read).optional().map_err(failed)
    }

    /// The first object that does not sort before a text.
    fn next(&self, from: &str) -> Result<Option<Object>> {
        let sql = "SELECT key, size, content FROM object WHERE key >= ?1 ORDER BY key LIMIT 1";
        let row = self.one(sql, [from], |row| Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?)))?;
        let Some((key, size, etag)) = row else { return Ok(None) };
        Ok(Some(Object { key: Key::parse_with_store_id(&key)?, size, etag, modified: None }))
    }

    fn object(&self, key: &Key) -> Result<Option<Object>> {
        Ok(self.next(key.as_str())?.filter(|object| object.key == *key))
    }

    /// Puts bytes that have a name at a key.
    fn put(&self, key: &Key, size: u64, content: &str, condition: &Condition) -> Result<Object> {
        backend::check_condition(key, self.object(key)?.as_ref(), condition)?;
        self.run("DELETE FROM object WHERE key = ?1", [key.as_str()])?;
        self.run("INSERT INTO object VALUES (?1, ?2, ?3)", (key.as_str(), size, content))?;
        Ok(Object { key: key.clone(), size, etag: Some(content.to_owned()), modified: None })
    }

    /// Adds bytes at an offset; what lay there or behind is forgotten.
    fn write(&self, content: &str, offset: u64, bytes: &[u8]) -> Result<()> {
        self.run("DELETE FROM piece WHERE content = ?1 AND offset >= ?2", (content, offset))?;
        for (at, piece) in (offset..).step_by(backend::PIECE).zip(bytes.chunks(backend::PIECE)) {
            self.run("INSERT INTO piece VALUES (?1, ?2, ?3)", (content, at, piece))?;
        }
        Ok(())
    }

    fn content_of(&self, id: &UploadId) -> Result<String> {
        let found = self.one("SELECT content FROM upload WHERE id = ?1", [id.as_str()], |row| row.get(0))?;
        found.ok_or_else(|| DriverError::upload_unknown(id))
    }
}

#[async_trait]
impl Driver for SqliteDriver {
    fn description(&self) -> Description {
        Description::new("sqlite.example.org", "1", Capabilities::serial(Durability::Stable))
    }

    async fn stat(&self, key: &Key) -> Result<Object> {
        self.0.storage().object_at(key)?.ok_or_else(|| DriverError::key_not_found(key))
    }

    async fn put(&self, key: &Key, bytes: Bytes, condition: Condition) -> Result<Object> {
        let content = UploadId::random()?.to_string();
        self.0.storage().transact(|rows| {
            rows.write(&content, 0, &bytes)?;
            rows.put(key, bytes.len() as u64, &content, &condition)
        })
    }

    async fn delete(&self, key: &Key, if_match: Option<&str>) -> Result<bool> {
        self.0.storage().transact(|rows| {
            backend::check_delete(key, rows.object(key)?.as_ref(), if_match)?;
            rows.run("DELETE FROM object WHERE key = ?1", [key.as_str()])
        })
    }

    async fn list(&self, query: &ListQuery) -> Result<Page<Entry>> {
        self.0.storage().transact(|rows| backend::list(query, |from| rows.next(from)))
    }

    async fn read(&self, key: &Key, range: ReadRange) -> Result<Reading> {
        let (store, object) = (Arc::clone(self.0.storage()), self.stat(key).await?);
        let content = object.etag.clone();
        backend::read(object, &range, move |offset, most| {
            let sql = "SELECT substr(data, ?2 - offset + 1, ?3) FROM piece
                       WHERE content = ?1 AND offset <= ?2 ORDER BY offset DESC LIMIT 1";
            let found = store.transact(|rows| rows.one(sql, (&content, offset, most), |row| row.get(0)))?;
            Ok(found.map_or_else(Bytes::new, Vec::<u8>::into))
        })
    }

    fn uploads(&self) -> &dyn Uploads {
        &self.0
    }
}

impl SessionTable for Store {
    fn load(&self, id: &UploadId) -> Result<Option<Vec<u8>>> {
        let sql = "SELECT record FROM upload WHERE id = ?1";
        self.transact(|rows| rows.one(sql, [id.as_str()], |row| row.get(0)))
    }

    fn save(&self, id: &UploadId, record: &[u8]) -> Result<()> {
        let sql = "INSERT INTO upload VALUES (?1, ?2, lower(hex(randomblob(16))))
                   ON CONFLICT (id) DO UPDATE SET record = excluded.record";
        self.transact(|rows| rows.run(sql, (id.as_str(), record))).map(drop)
    }

    fn append(&self, id: &UploadId, offset: u64, bytes: Bytes) -> Result<()> {
        self.transact(|rows| rows.write(&rows.content_of(id)?, offset, &bytes))
    }

    fn commit(&self, id: &UploadId, record: &[u8], key: &Key, size: u64) -> Result<Object> {
        self.transact(|rows| {
            let content = rows.content_of(id)?;
            rows.write(&content, size, &[])?;
            rows.run("UPDATE upload SET record = ?2, content = '' WHERE id = ?1", (id.as_str(), record))?;
            rows.put(key, size, &content, &Condition::IfAbsent)
        })
    }

    fn remove(&self, id: &UploadId) -> Result<()> {
        self.transact(|rows| rows.run("DELETE FROM upload WHERE id = ?1", [id.as_str()])).map(drop)
    }

    fn next(&self, start_after: &str) -> Result<Option<String>> {
        let sql = "SELECT id FROM upload WHERE id > ?1 ORDER BY id LIMIT 1";
        self.transact(|rows| rows.one(sql, [start_after], |row| row.get(0)))
    }

    fn object_at(&self, key: &Key) -> Result<Option<Object>> {
        self.transact(|rows| rows.object(key))
    }
}

async fn open(Settings { file }: Settings) -> Result<SqliteDriver> {
    let connection = Connection::open(&file).map_err(failed)?;
    connection.execute_batch(include_str!("schema.sql")).map_err(failed)?;
    let store = Store { place: backend::Place::of(&file)?, connection: connection.into() };
    Ok(SqliteDriver(Sessions::new(store.into(), Limits::default().upload_ttl)))
}

fn main() -> ExitCode {
    run(About::new("driver-rust", "1", "  file=PATH    the SQLite file; made if missing"), open)
}
