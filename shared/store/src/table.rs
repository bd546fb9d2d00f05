//! Access to the one table: typed reads, pages and batches. What is stored where is not its business.

use std::{
    collections::{HashMap, HashSet},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use aws_sdk_dynamodb::{
    Client,
    config::retry::RetryPartition,
    operation::query::builders::QueryFluentBuilder,
    types::{AttributeValue, DeleteRequest, KeysAndAttributes, PutRequest, WriteRequest},
};
use aws_types::SdkConfig;
use futures_util::future::try_join_all;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    PARTITION_KEY, SORT_KEY,
    conflict::TransactionConflict,
    error::StoreError,
    keys::{self, Key},
    transaction::Commit,
};

pub(crate) type Item = HashMap<String, AttributeValue>;

/// How often a batch is asked again for what the table left out, and the first pause before it.
const BATCH_ATTEMPTS: u32 = 5;
const BATCH_PAUSE: Duration = Duration::from_millis(25);

/// How many keys a BatchGetItem takes.
pub(crate) const BATCH_KEYS: usize = 100;

/// How many writes a BatchWriteItem takes.
const BATCH_WRITES: usize = 25;

/// How many batches are under way at the same time.
pub(crate) const BATCHES_AT_ONCE: usize = 21;

/// How many stores this process has made.
static STORES: AtomicU64 = AtomicU64::new(0);

/// The table. Clones share one connection pool.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) client: Client,
    pub(crate) table: String,
}

/// An entity, and whether this call made it or found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created<T> {
    /// As it is now.
    pub entity: T,
    /// Whether this call made it.
    pub created: bool,
}

impl<T> Created<T> {
    pub(crate) fn new(entity: T) -> Self {
        Self {
            entity,
            created: true,
        }
    }

    pub(crate) fn found(entity: T) -> Self {
        Self {
            entity,
            created: false,
        }
    }
}

/// What became of an entity that was to be put under a new id and a unique name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Insert<T> {
    /// It is there.
    Made(T),
    /// The id, or another one that was drawn, is taken: draw again.
    IdTaken,
    /// The name is taken, whatever the id.
    NameTaken,
}

impl<T> Insert<T> {
    /// What a transaction says of `entity` whose name is guarded by the write at `name`.
    pub(crate) fn of(commit: &Commit, name: usize, entity: T) -> Self {
        match commit {
            Commit::Done => Self::Made(entity),
            Commit::Refused(writes) if writes.contains(&name) => Self::NameTaken,
            Commit::Refused(_) => Self::IdTaken,
        }
    }
}

/// A stretch of a list, by number of rows, as the API's cursors count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// Whether there are more after them.
    pub more: bool,
}

impl Store {
    /// A store over `table`. The configuration says where and with whose credentials; conflicts of
    /// transactions are retried like throttling.
    pub fn new(config: &SdkConfig, table: impl Into<String>) -> Self {
        let table = table.into();
        // A retry budget of its own: by default the SDK shares one among all clients of a process.
        let number = STORES.fetch_add(1, Ordering::Relaxed);
        let partition = RetryPartition::custom(format!("{table}-{number}")).build();
        let config = aws_sdk_dynamodb::config::Builder::from(config)
            .retry_partition(partition)
            .retry_classifier(TransactionConflict)
            .build();
        Self {
            client: Client::from_conf(config),
            table,
        }
    }

    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        key: &Key,
    ) -> Result<Option<T>, StoreError> {
        self.get_item(key, true)
            .await?
            .map(|item| read(key, item))
            .transpose()
    }

    pub(crate) async fn get_item(
        &self,
        key: &Key,
        consistent: bool,
    ) -> Result<Option<Item>, StoreError> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(attributes(key)))
            .consistent_read(consistent)
            .send()
            .await
            .map_err(|e| StoreError::sdk("GetItem", e))?;
        Ok(answer.item)
    }

    /// Reads many items consistently, in batches, and asks again for what the table left out.
    pub(crate) async fn get_all(
        &self,
        mut keys: Vec<Key>,
    ) -> Result<HashMap<Key, Item>, StoreError> {
        // The table refuses a batch that names an item twice.
        keys.sort();
        keys.dedup();
        let mut found = HashMap::new();
        let batches: Vec<_> = keys.chunks(BATCH_KEYS).collect();
        for wave in batches.chunks(BATCHES_AT_ONCE) {
            let wave = wave.iter().map(|batch| self.get_batch(batch));
            for items in try_join_all(wave).await? {
                found.extend(items);
            }
        }
        Ok(found)
    }

    async fn get_batch(&self, keys: &[Key]) -> Result<HashMap<Key, Item>, StoreError> {
        let mut found = HashMap::new();
        let mut wanted = keys.iter().map(attributes).collect::<Vec<_>>();
        for attempt in 0..BATCH_ATTEMPTS {
            if wanted.is_empty() {
                return Ok(found);
            }
            pause(attempt).await;
            let request = KeysAndAttributes::builder()
                .set_keys(Some(wanted))
                .consistent_read(true)
                .build()
                .map_err(|e| unavailable("BatchGetItem", e))?;
            let answer = self
                .client
                .batch_get_item()
                .request_items(&self.table, request)
                .send()
                .await
                .map_err(|e| StoreError::sdk("BatchGetItem", e))?;
            let items = answer.responses.and_then(|mut r| r.remove(&self.table));
            found.extend(
                items
                    .unwrap_or_default()
                    .into_iter()
                    .map(|item| (key_of(&item), item)),
            );
            let left = answer
                .unprocessed_keys
                .and_then(|mut u| u.remove(&self.table));
            wanted = left.map(|keys| keys.keys).unwrap_or_default();
        }
        match wanted.len() {
            0 => Ok(found),
            n => Err(unavailable(
                "BatchGetItem",
                format!("{n} keys were left unprocessed"),
            )),
        }
    }

    /// Writes many items, whatever is there, and those that the table left out again. Each by itself: a
    /// failure leaves some written.
    pub(crate) async fn put_all(&self, items: Vec<Item>) -> Result<(), StoreError> {
        let put = |item| {
            let put = PutRequest::builder().set_item(Some(item)).build();
            put.map(|put| WriteRequest::builder().put_request(put).build())
        };
        let requests = items.into_iter().map(put).collect::<Result<Vec<_>, _>>();
        self.write_all(requests.map_err(|e| unavailable("encoding", e))?)
            .await
    }

    /// Deletes many items, of which none may occur twice, and asks again for what the table left out. Each by
    /// itself: a failure leaves some.
    pub(crate) async fn delete_all(&self, keys: Vec<Key>) -> Result<(), StoreError> {
        let delete = |key: &Key| {
            let delete = DeleteRequest::builder().set_key(Some(attributes(key)));
            let delete = delete.build();
            delete.map(|delete| WriteRequest::builder().delete_request(delete).build())
        };
        let requests = keys.iter().map(delete).collect::<Result<Vec<_>, _>>();
        self.write_all(requests.map_err(|e| unavailable("encoding", e))?)
            .await
    }

    async fn write_all(&self, requests: Vec<WriteRequest>) -> Result<(), StoreError> {
        let batches: Vec<_> = requests.chunks(BATCH_WRITES).collect();
        for wave in batches.chunks(BATCHES_AT_ONCE) {
            let wave = wave.iter().map(|batch| self.write_batch(batch.to_vec()));
            try_join_all(wave).await?;
        }
        Ok(())
    }

    async fn write_batch(&self, mut left: Vec<WriteRequest>) -> Result<(), StoreError> {
        for attempt in 0..BATCH_ATTEMPTS {
            if left.is_empty() {
                return Ok(());
            }
            pause(attempt).await;
            let answer = self
                .client
                .batch_write_item()
                .request_items(&self.table, left)
                .send()
                .await
                .map_err(|e| StoreError::sdk("BatchWriteItem", e))?;
            let unprocessed = answer
                .unprocessed_items
                .and_then(|mut u| u.remove(&self.table));
            left = unprocessed.unwrap_or_default();
        }
        match left.len() {
            0 => Ok(()),
            n => Err(unavailable(
                "BatchWriteItem",
                format!("{n} writes were left unprocessed"),
            )),
        }
    }

    /// The keys of the items of a partition whose sort keys begin so.
    pub(crate) async fn keys_in(&self, pk: &str, prefix: &str) -> Result<Vec<Key>, StoreError> {
        let (mut keys, mut start) = (Vec::new(), None);
        loop {
            let answer = self
                .client
                .query()
                .table_name(&self.table)
                .consistent_read(true)
                .key_condition_expression("#pk = :pk AND begins_with(#sk, :prefix)")
                .projection_expression("#pk, #sk")
                .expression_attribute_names("#pk", PARTITION_KEY)
                .expression_attribute_names("#sk", SORT_KEY)
                .expression_attribute_values(":pk", text(pk))
                .expression_attribute_values(":prefix", text(prefix))
                .set_exclusive_start_key(start)
                .send()
                .await
                .map_err(|e| StoreError::sdk("Query", e))?;
            keys.extend(answer.items.unwrap_or_default().iter().map(key_of));
            start = answer.last_evaluated_key;
            if start.is_none() {
                return Ok(keys);
            }
        }
    }

    /// Reads entities consistently, in the order of their keys and each once, without those that are gone.
    pub(crate) async fn get_list<T: DeserializeOwned>(
        &self,
        mut keys: Vec<Key>,
    ) -> Result<Vec<T>, StoreError> {
        let mut seen = HashSet::new();
        keys.retain(|key| seen.insert(key.clone()));
        let mut found = self.get_all(keys.clone()).await?;
        let present = keys
            .iter()
            .filter_map(|key| Some((key, found.remove(key)?)));
        present.map(|(key, item)| read(key, item)).collect()
    }

    /// A consistent query, to its end: for partitions whose size a person decides, not an event.
    pub(crate) async fn query_all<T: DeserializeOwned>(
        &self,
        query: Query<'_>,
    ) -> Result<Vec<T>, StoreError> {
        let mut rows = Vec::new();
        let mut start = None;
        loop {
            let (items, next) = self.query_page(&query, true, None, start).await?;
            for item in items {
                rows.push(read(&key_of(&item), item)?);
            }
            if next.is_none() {
                return Ok(rows);
            }
            start = next;
        }
    }

    /// Rows `skip..skip + limit` of a list. Eventually consistent: for people, not for effects.
    pub(crate) async fn list<T: DeserializeOwned>(
        &self,
        query: Query<'_>,
        skip: usize,
        limit: usize,
    ) -> Result<Page<T>, StoreError> {
        let wanted = skip + limit + 1;
        let mut items: Vec<Item> = Vec::new();
        let mut start = None;
        loop {
            let missing = i32::try_from(wanted - items.len()).unwrap_or(i32::MAX);
            // The limit counts the rows that are read, not those that a filter lets through.
            let limit = query.filters.is_empty().then_some(missing);
            let (found, next) = self.query_page(&query, false, limit, start).await?;
            items.extend(found);
            if next.is_none() || items.len() >= wanted {
                break;
            }
            start = next;
        }
        let more = items.len() >= wanted;
        let page = items.into_iter().skip(skip).take(limit);
        let rows = page
            .map(|item| read(&key_of(&item), item))
            .collect::<Result<_, _>>()?;
        Ok(Page { rows, more })
    }

    pub(crate) async fn query_page(
        &self,
        query: &Query<'_>,
        consistent: bool,
        limit: Option<i32>,
        start: Option<Item>,
    ) -> Result<(Vec<Item>, Option<Item>), StoreError> {
        let request = self.client.query().consistent_read(consistent);
        let names = (PARTITION_KEY, SORT_KEY);
        self.page(request, names, query, limit, start).await
    }

    /// A page of the index, which may lag a moment: for lists, not for effects.
    pub(crate) async fn index_page(
        &self,
        query: &Query<'_>,
        limit: Option<i32>,
        start: Option<Item>,
    ) -> Result<(Vec<Item>, Option<Item>), StoreError> {
        let request = self.client.query().index_name(keys::INDEX);
        let names = (keys::INDEX_PARTITION_KEY, keys::INDEX_SORT_KEY);
        self.page(request, names, query, limit, start).await
    }

    async fn page(
        &self,
        request: QueryFluentBuilder,
        (pk, sk): (&str, &str),
        query: &Query<'_>,
        limit: Option<i32>,
        start: Option<Item>,
    ) -> Result<(Vec<Item>, Option<Item>), StoreError> {
        let mut request = request
            .table_name(&self.table)
            .scan_index_forward(!query.descending)
            .set_limit(limit)
            .set_exclusive_start_key(start)
            .expression_attribute_names("#pk", pk)
            .expression_attribute_values(":pk", text(query.pk));
        // A name that no expression uses is refused.
        if !matches!(query.sort, Sort::All) {
            request = request.expression_attribute_names("#sk", sk);
        }
        request = match query.sort {
            Sort::Prefix(prefix) => request
                .key_condition_expression("#pk = :pk AND begins_with(#sk, :prefix)")
                .expression_attribute_values(":prefix", text(prefix)),
            Sort::All => request.key_condition_expression("#pk = :pk"),
            Sort::Between(low, high) => request
                .key_condition_expression("#pk = :pk AND #sk BETWEEN :low AND :high")
                .expression_attribute_values(":low", text(low))
                .expression_attribute_values(":high", text(high)),
        };
        let mut conditions = Vec::new();
        for (n, filter) in query.filters.iter().enumerate() {
            conditions.push(filter.condition(n));
            request = request
                .expression_attribute_names(format!("#filter{n}"), filter.attribute)
                .expression_attribute_values(format!(":filter{n}"), filter.value.clone());
        }
        let filter = (!conditions.is_empty()).then(|| conditions.join(" AND "));
        let answer = request
            .set_filter_expression(filter)
            .send()
            .await
            .map_err(|e| StoreError::sdk("Query", e))?;
        Ok((answer.items.unwrap_or_default(), answer.last_evaluated_key))
    }
}

/// Lets a table that left something out catch its breath.
async fn pause(attempt: u32) {
    if attempt > 0 {
        tokio::time::sleep(BATCH_PAUSE * 2_u32.pow(attempt - 1)).await;
    }
}

/// A range of one partition.
#[derive(Debug)]
pub(crate) struct Query<'a> {
    pub(crate) pk: &'a str,
    pub(crate) sort: Sort<'a>,
    pub(crate) descending: bool,
    /// What the rows must say. The table reads past those that do not.
    pub(crate) filters: Vec<Filter>,
}

/// What an attribute must be.
#[derive(Debug)]
pub(crate) struct Filter {
    attribute: &'static str,
    test: FilterTest,
    value: AttributeValue,
}

#[derive(Debug, Clone, Copy)]
enum FilterTest {
    Is,
    Contains,
}

impl Filter {
    /// The value itself.
    pub(crate) fn is(attribute: &'static str, value: AttributeValue) -> Self {
        Self {
            attribute,
            test: FilterTest::Is,
            value,
        }
    }

    /// A list with the value in it.
    pub(crate) fn contains(attribute: &'static str, value: AttributeValue) -> Self {
        Self {
            attribute,
            test: FilterTest::Contains,
            value,
        }
    }

    /// The condition, where it is the `n`th of the query.
    fn condition(&self, n: usize) -> String {
        match self.test {
            FilterTest::Is => format!("#filter{n} = :filter{n}"),
            FilterTest::Contains => format!("contains(#filter{n}, :filter{n})"),
        }
    }
}

#[derive(Debug)]
pub(crate) enum Sort<'a> {
    All,
    Prefix(&'a str),
    Between(&'a str, &'a str),
}

impl<'a> Query<'a> {
    pub(crate) fn prefix(pk: &'a str, prefix: &'a str) -> Self {
        Self {
            pk,
            sort: Sort::Prefix(prefix),
            descending: false,
            filters: Vec::new(),
        }
    }
}

/// How often a write that met another one is decided again.
pub(crate) const ATTEMPTS: u32 = 8;

/// Lets the others finish: those who collide at once collide again. Not before the first repetition.
pub(crate) async fn step_aside(attempt: u32) {
    if attempt > 1 {
        let most = 4_u64 << attempt;
        tokio::time::sleep(Duration::from_millis(rand::random_range(0..most))).await;
    }
}

pub(crate) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

pub(crate) fn attributes(key: &Key) -> Item {
    [
        (PARTITION_KEY.into(), text(&key.pk)),
        (SORT_KEY.into(), text(&key.sk)),
    ]
    .into()
}

pub(crate) fn key_of(item: &Item) -> Key {
    let part = |name| match item.get(name) {
        Some(AttributeValue::S(text)) => text.clone(),
        _ => String::new(),
    };
    Key {
        pk: part(PARTITION_KEY),
        sk: part(SORT_KEY),
    }
}

pub(crate) fn read<T: DeserializeOwned>(key: &Key, item: Item) -> Result<T, StoreError> {
    // An address is personal, a username may be one, and errors are logged.
    let personal = ["EMAIL#", "USERNAME#"];
    let personal = personal.into_iter().find(|it| key.pk.starts_with(it));
    let pk = personal.unwrap_or(&key.pk);
    serde_dynamo::from_item(item).map_err(|e| StoreError::Unreadable {
        key: format!("{pk} {}", key.sk),
        cause: e.to_string(),
    })
}

/// Reads an item of a batch that may be missing.
pub(crate) fn take<T: DeserializeOwned>(
    found: &mut HashMap<Key, Item>,
    key: &Key,
) -> Result<Option<T>, StoreError> {
    found.remove(key).map(|item| read(key, item)).transpose()
}

pub(crate) fn write(key: &Key, entity: &impl Serialize) -> Result<Item, StoreError> {
    let mut item: Item = serde_dynamo::to_item(entity).map_err(|e| unavailable("encoding", e))?;
    item.extend(attributes(key));
    Ok(item)
}

pub(crate) fn value(value: &impl Serialize) -> Result<AttributeValue, StoreError> {
    serde_dynamo::to_attribute_value(value).map_err(|e| unavailable("encoding", e))
}

fn unavailable(operation: &'static str, cause: impl ToString) -> StoreError {
    StoreError::Unavailable {
        operation,
        cause: cause.to_string(),
    }
}
