//! One dynoxide: a database with the one table in it, and its own HTTP server.
//!
//! It exists because dynoxide takes and gives its own types where everything here is JSON. It must
//! not know that there may be two of it, nor that anything goes wrong on purpose.

use std::path::Path;

use anyhow::Context;
use dynoxide::{Database, DynoxideError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

pub(super) struct Node {
    pub(super) database: Database,
    pub(super) table: Table,
    /// Where its server listens.
    pub(super) authority: String,
}

#[derive(Clone)]
pub(super) struct Table {
    pub(super) name: String,
    key_attributes: Vec<String>,
    /// The CreateTable request.
    request: Value,
}

impl Table {
    pub(super) fn parse(request: Value) -> anyhow::Result<Table> {
        let name = request["TableName"].as_str().context("no TableName")?;
        let schema = request["KeySchema"].as_array().context("no KeySchema")?;
        let attributes = schema
            .iter()
            .map(|element| Some(element["AttributeName"].as_str()?.to_owned()));
        let key_attributes: Option<Vec<String>> = attributes.collect();
        Ok(Table {
            name: name.to_owned(),
            key_attributes: key_attributes.context("a key without a name")?,
            request,
        })
    }

    /// The key of an item, or of a key with more to it; `None` if it is not whole.
    pub(super) fn key_of(&self, item: &Value) -> Option<Value> {
        let mut key = Map::new();
        for name in &self.key_attributes {
            key.insert(name.clone(), item.get(name)?.clone());
        }
        Some(Value::Object(key))
    }

    /// The database in a file, or else in memory, with this table in it.
    pub(super) fn open(
        &self,
        file: Option<&Path>,
        ttl_attribute: Option<&str>,
    ) -> anyhow::Result<Database> {
        let database = match file {
            Some(path) => open_file(path)?,
            None => Database::memory()?,
        };
        match database.describe_table(typed(json!({ "TableName": self.name }))?) {
            Ok(_) => {}
            Err(DynoxideError::ResourceNotFoundException(_)) => self.create_in(&database)?,
            Err(error) => return Err(error.into()),
        }
        match file {
            Some(path) => index_stream(path)?,
            None => {
                let folder = tempfile::tempdir()?;
                let snapshot = folder.path().join("table");
                let name = utf8(&snapshot)?;
                database.vacuum_into(name)?;
                index_stream(&snapshot)?;
                database.restore_from(name)?;
            }
        }
        if let Some(attribute) = ttl_attribute {
            database.update_time_to_live(typed(json!({
                "TableName": self.name,
                "TimeToLiveSpecification": { "AttributeName": attribute, "Enabled": true },
            }))?)?;
        }
        Ok(database)
    }

    fn create_in(&self, database: &Database) -> anyhow::Result<()> {
        database.create_table(typed(self.request.clone())?)?;
        Ok(())
    }
}

fn open_file(path: &Path) -> anyhow::Result<Database> {
    let name = utf8(path)?;
    let database =
        Database::new(name).with_context(|| format!("cannot open the table in {name}"))?;
    // Each item of a batch is a commit of its own, and would wait for the disk. What this process has written
    // outlives it anyway; only a machine that loses power may lose the end.
    database.enable_bulk_loading()?;
    Ok(database)
}

fn utf8(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("the path of the table is not UTF-8")
}

/// With each write dynoxide looks for the stream's last record, and without an index it reads all of them.
fn index_stream(path: &Path) -> anyhow::Result<()> {
    rusqlite::Connection::open(path)?.execute_batch(
        "CREATE INDEX IF NOT EXISTS _stream_records_by_sequence
         ON _stream_records (table_name, CAST(sequence_number AS INTEGER))",
    )?;
    Ok(())
}

impl Node {
    /// Its server ends when the sender is dropped.
    pub(super) async fn serve(
        database: Database,
        table: Table,
    ) -> anyhow::Result<(Node, oneshot::Sender<()>)> {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .context("no port for dynoxide")?;
        let authority = listener.local_addr()?.to_string();
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(dynoxide::server::serve_with_shutdown(
            listener,
            database.clone(),
            async {
                // An error is the drop of the sender, which is the signal.
                let _ = stopped.await;
            },
        ));
        let node = Node {
            database,
            table,
            authority,
        };
        Ok((node, stop))
    }

    /// A second database, in memory, that holds what this one holds.
    pub(super) fn copy(&self) -> anyhow::Result<Database> {
        let copy = Database::memory()?;
        self.table.create_in(&copy)?;
        for item in self.items()? {
            copy.put_item(typed(
                json!({ "TableName": self.table.name, "Item": item }),
            )?)?;
        }
        Ok(copy)
    }

    pub(super) fn items(&self) -> anyhow::Result<Vec<Value>> {
        let mut items = Vec::new();
        let mut request = json!({ "TableName": self.table.name });
        loop {
            let page = serde_json::to_value(self.database.scan(typed(request.clone())?)?)?;
            items.extend(page["Items"].as_array().cloned().unwrap_or_default());
            match page.get("LastEvaluatedKey") {
                Some(last) => request["ExclusiveStartKey"] = last.clone(),
                None => return Ok(items),
            }
        }
    }

    /// `None` when there is no such item.
    pub(super) fn get(&self, key: &Value) -> anyhow::Result<Option<Value>> {
        let request = json!({ "TableName": self.table.name, "Key": key, "ConsistentRead": true });
        let response = self.database.get_item(typed(request)?)?;
        Ok(Some(member(&response, "Item")?).filter(|item| !item.is_null()))
    }

    /// Makes the item with this key be this one, or be gone.
    pub(super) fn set(&self, key: Value, item: Option<Value>) -> anyhow::Result<()> {
        let name = &self.table.name;
        match item {
            Some(item) => {
                let request = json!({ "TableName": name, "Item": item });
                self.database.put_item(typed(request)?)?;
            }
            None => {
                let request = json!({ "TableName": name, "Key": key });
                self.database.delete_item(typed(request)?)?;
            }
        }
        Ok(())
    }
}

/// dynoxide's requests can be had from JSON only.
pub(super) fn typed<T: DeserializeOwned>(request: Value) -> anyhow::Result<T> {
    serde_json::from_value(request).context("dynoxide does not take this request")
}

pub(super) fn member<T: Serialize>(response: &T, name: &str) -> anyhow::Result<Value> {
    Ok(serde_json::to_value(response)?[name].take())
}
