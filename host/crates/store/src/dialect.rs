//! Where the two database engines differ, and nowhere else.
//!
//! The rest of the crate writes one SQL text with `$1` placeholders as a [`Query`] and runs it on a [`Session`], which is a
//! connection to either engine. A few words in braces stand for what the engines say differently:
//!
//! * `{now}` – the database's time in microseconds: what leases are compared with. SQLite is one machine and one
//!   process, so its time is the injected clock; PostgreSQL's is `clock_timestamp()`, the same for all nodes.
//! * `{for update}` – the rows stay as they are until the transaction ends. SQLite has one writer and needs no word.
//!   PostgreSQL's is `FOR NO KEY UPDATE`, which lets others go on making rows that refer to them.
//! * `{for share}` – the rows stay there under their key until the transaction ends; others may do the same. PostgreSQL's
//!   is `FOR KEY SHARE`.
//! * `{each}` – the elements of the JSON array in `$1`, as rows of `item` with the column `value`, from which `->>` takes
//!   the field of an object. One statement for thousands of rows.

use std::{borrow::Cow, sync::Arc};

use jiff::Timestamp;
use serde::Serialize;
use sqlx::{
    AssertSqlSafe, PgConnection, PgPool, Postgres, SqlSafeStr, SqlStr, Sqlite, SqliteConnection, SqlitePool,
    Transaction, pool::PoolConnection,
};
use syncline_domain::clock::Clock;

use crate::{
    error::{Error, Result},
    readers::{Reader, Readers},
    row::Row,
};

/// Binds every value to a query of either engine.
macro_rules! bind_all {
    ($query:expr, $args:expr) => {{
        let mut query = $query;
        for arg in $args {
            query = match arg {
                Arg::Int(value) => query.bind(value),
                Arg::Text(value) => query.bind(value),
                Arg::Bytes(value) => query.bind(value),
                Arg::Bool(value) => query.bind(value),
            };
        }
        query
    }};
}

/// The connections of a database.
#[derive(Debug, Clone)]
pub(crate) enum Pools {
    /// One writer, since SQLite has no more, and readers that it does not stop.
    Sqlite {
        writer: SqlitePool,
        readers: Readers,
    },
    Postgres(PgPool),
}

/// What only one transaction does at a time, on all nodes together. SQLite has one writer anyway.
#[derive(Debug, Clone, Copy)]
#[repr(i64)]
pub(crate) enum Turn {
    /// Anything that looks at several runs and changes some of them.
    Runs = 0x5359_4e43_0001,
    /// What refers to something else by name comes or goes.
    Setup = 0x5359_4e43_0002,
    /// Secrets and their key.
    Secrets = 0x5359_4e43_0003,
    /// The log of contacts is folded into the device rows.
    Presence = 0x5359_4e43_0004,
}

impl Pools {
    /// A connection that only reads.
    pub(crate) async fn reader(&self, clock: Arc<dyn Clock>) -> Result<Session> {
        let link = match self {
            Self::Sqlite { readers, .. } => Link::Reader(readers.acquire().await?),
            Self::Postgres(pool) => Link::Postgres(pool.acquire().await?),
        };
        Ok(Session { link, clock })
    }

    /// A connection on which each statement is a transaction of its own.
    pub(crate) async fn writer(&self, clock: Arc<dyn Clock>) -> Result<Session> {
        let link = match self {
            Self::Sqlite { writer, .. } => Link::Sqlite(writer.acquire().await?),
            Self::Postgres(pool) => Link::Postgres(pool.acquire().await?),
        };
        Ok(Session { link, clock })
    }

    /// A transaction that writes. It is undone unless it is committed.
    pub(crate) async fn begin(&self, clock: Arc<dyn Clock>) -> Result<Session> {
        let link = match self {
            // IMMEDIATE: a transaction that reads first and writes later could otherwise fail halfway as "busy".
            Self::Sqlite { writer, .. } => Link::SqliteTx(writer.begin_with("BEGIN IMMEDIATE").await?),
            Self::Postgres(pool) => Link::PostgresTx(pool.begin().await?),
        };
        Ok(Session { link, clock })
    }

    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

/// A connection, in a transaction or not.
pub(crate) struct Session {
    link: Link,
    clock: Arc<dyn Clock>,
}

enum Link {
    Reader(Reader),
    Sqlite(PoolConnection<Sqlite>),
    SqliteTx(Transaction<'static, Sqlite>),
    Postgres(PoolConnection<Postgres>),
    PostgresTx(Transaction<'static, Postgres>),
}

enum Wire<'c> {
    Sqlite(&'c mut SqliteConnection),
    Postgres(&'c mut PgConnection),
}

impl Session {
    fn wire(&mut self) -> Wire<'_> {
        match &mut self.link {
            Link::Reader(link) => Wire::Sqlite(link),
            Link::Sqlite(link) => Wire::Sqlite(link),
            Link::SqliteTx(link) => Wire::Sqlite(link),
            Link::Postgres(link) => Wire::Postgres(link),
            Link::PostgresTx(link) => Wire::Postgres(link),
        }
    }

    /// Now, by the injected clock.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Waits until no other transaction has this turn, and keeps it to the end of this one.
    pub(crate) async fn take_turn(&mut self, turn: Turn) -> Result<()> {
        match self.wire() {
            Wire::Sqlite(_) => {}
            Wire::Postgres(_) => {
                sql("SELECT pg_advisory_xact_lock($1)").bind(turn as i64).rows(self).await?;
            }
        }
        Ok(())
    }

    /// Makes a transaction permanent.
    pub(crate) async fn commit(self) -> Result<()> {
        match self.link {
            Link::SqliteTx(link) => link.commit().await?,
            Link::PostgresTx(link) => link.commit().await?,
            Link::Reader(_) | Link::Sqlite(_) | Link::Postgres(_) => {}
        }
        Ok(())
    }
}

/// A value for a placeholder. PostgreSQL wants to know the type of an absent value too.
#[derive(Debug, Clone)]
pub(crate) enum Arg {
    Int(Option<i64>),
    Text(Option<String>),
    Bytes(Option<Vec<u8>>),
    Bool(bool),
}

macro_rules! args {
    ($($from:ty => $kind:ident, |$value:ident| $make:expr;)*) => {$(
        impl From<$from> for Arg {
            fn from($value: $from) -> Self {
                Self::$kind(Some($make))
            }
        }
        impl From<Option<$from>> for Arg {
            fn from(value: Option<$from>) -> Self {
                Self::$kind(value.map(|$value| $make))
            }
        }
    )*};
}

args! {
    i64 => Int, |value| value;
    u32 => Int, |value| i64::from(value);
    Timestamp => Int, |value| value.as_microsecond();
    String => Text, |value| value;
    &str => Text, |value| value.to_owned();
    &String => Text, |value| value.clone();
    &syncline_domain::Name => Text, |value| value.as_str().to_owned();
    syncline_domain::ids::RunId => Text, |value| value.to_string();
    syncline_domain::ids::NodeId => Text, |value| value.to_string();
    syncline_domain::ids::ScheduleId => Text, |value| value.to_string();
    syncline_domain::ids::StoreId => Text, |value| value.to_string();
    syncline_domain::ids::TokenId => Text, |value| value.to_string();
    syncline_domain::ids::DeviceId => Text, |value| value.to_string();
    syncline_domain::ids::EnrolmentTokenId => Text, |value| value.to_string();
    syncline_domain::ids::CredentialId => Text, |value| value.to_string();
    syncline_domain::ids::PolicyId => Text, |value| value.to_string();
    syncline_domain::ids::UserId => Text, |value| value.to_string();
    syncline_domain::ids::SubscriptionId => Text, |value| value.to_string();
    syncline_domain::ids::ActivationCodeId => Text, |value| value.to_string();
    syncline_domain::ids::TaskId => Text, |value| value.to_string();
    syncline_domain::ids::OperationId => Text, |value| value.to_string();
    syncline_domain::ids::SyncOperationId => Text, |value| value.to_string();
    syncline_domain::ids::MessageId => Text, |value| value.to_string();
    syncline_domain::ids::DirectoryEntryId => Text, |value| value.to_string();
    &syncline_domain::directory::EntryId => Text, |value| value.as_str().to_owned();
    &syncline_domain::device::GroupPath => Text, |value| value.as_str().to_owned();
    &syncline_domain::device::DocumentDigest => Text, |value| value.as_str().to_owned();
    syncline_domain::run::RunState => Text, |value| value.as_str().to_owned();
    Vec<u8> => Bytes, |value| value;
    &[u8] => Bytes, |value| value.to_vec();
}

impl From<bool> for Arg {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

/// A statement with its values. Texts are written in this crate; what comes from outside is only ever bound.
#[must_use = "a query does nothing until it is run"]
pub(crate) struct Query {
    text: Cow<'static, str>,
    args: Result<Vec<Arg>>,
}

/// A statement, whose values follow with [`Query::bind`] in the order of their numbers.
pub(crate) fn sql(text: &'static str) -> Query {
    Query { text: Cow::Borrowed(text), args: Ok(Vec::new()) }
}

impl Query {
    /// The value of the next placeholder.
    pub(crate) fn bind(mut self, value: impl Into<Arg>) -> Self {
        if let Ok(args) = &mut self.args {
            args.push(value.into());
        }
        self
    }

    /// A count or size. The engines' integers have a sign: what does not fit is an error, not another number.
    pub(crate) fn bind_u64(self, value: impl Into<Option<u64>>) -> Self {
        match value.into().map(i64::try_from).transpose() {
            Ok(value) => self.bind(value),
            Err(error) => Self { args: Err(Error::encode(error)), ..self },
        }
    }

    /// A value as JSON.
    pub(crate) fn bind_json(self, value: &impl Serialize) -> Self {
        match serde_json::to_string(value) {
            Ok(text) => self.bind(text),
            Err(error) => Self { args: Err(Error::encode(error)), ..self },
        }
    }

    /// A value as JSON, or nothing.
    pub(crate) fn bind_json_opt(self, value: Option<&impl Serialize>) -> Self {
        match value {
            Some(value) => self.bind_json(value),
            None => self.bind(None::<String>),
        }
    }

    /// A word of an enum, as serde writes it, without the quotes of JSON.
    pub(crate) fn bind_word(self, value: &impl Serialize) -> Self {
        match serde_json::to_value(value) {
            Ok(serde_json::Value::String(word)) => self.bind(word),
            Ok(_) => Self { args: Err(Error::encode(NotAWord)), ..self },
            Err(error) => Self { args: Err(Error::encode(error)), ..self },
        }
    }

    /// More text, without a value.
    pub(crate) fn push(mut self, text: &'static str) -> Self {
        self.text.to_mut().push_str(text);
        self
    }

    /// More text with a value, if there is one: `$?` in the text becomes the number of its placeholder.
    pub(crate) fn push_some(self, text: &'static str, value: Option<impl Into<Arg>>) -> Self {
        match value {
            Some(value) => self.push_with(text, value),
            None => self,
        }
    }

    /// More text with a value: `$?` in the text becomes the number of its placeholder.
    pub(crate) fn push_with(mut self, text: &'static str, value: impl Into<Arg>) -> Self {
        let number = self.args.as_ref().map_or(0, Vec::len) + 1;
        self.text.to_mut().push_str(&text.replace("$?", &format!("${number}")));
        self.bind(value)
    }

    /// Runs it and tells how many rows it changed.
    pub(crate) async fn execute(self, on: &mut Session) -> Result<u64> {
        let (text, args) = self.finish(on)?;
        Ok(match on.wire() {
            Wire::Sqlite(link) => {
                bind_all!(sqlx::query::<Sqlite>(text), args).execute(link).await?.rows_affected()
            }
            Wire::Postgres(link) => {
                bind_all!(sqlx::query::<Postgres>(text), args).execute(link).await?.rows_affected()
            }
        })
    }

    /// Runs it and gives its rows.
    pub(crate) async fn rows(self, on: &mut Session) -> Result<Vec<Row>> {
        let (text, args) = self.finish(on)?;
        Ok(match on.wire() {
            Wire::Sqlite(link) => {
                let rows = bind_all!(sqlx::query::<Sqlite>(text), args).fetch_all(link).await?;
                rows.into_iter().map(Row::Sqlite).collect()
            }
            Wire::Postgres(link) => {
                let rows = bind_all!(sqlx::query::<Postgres>(text), args).fetch_all(link).await?;
                rows.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    /// Runs it and gives its first row, if there is one.
    pub(crate) async fn row(self, on: &mut Session) -> Result<Option<Row>> {
        Ok(self.rows(on).await?.into_iter().next())
    }

    /// Puts the engine's words in.
    fn finish(self, on: &mut Session) -> Result<(SqlStr, Vec<Arg>)> {
        let mut args = self.args?;
        let mut text = self.text;
        let now = on.clock.now();
        let lite = matches!(on.wire(), Wire::Sqlite(_));
        if text.contains("{for update}") {
            text = Cow::Owned(text.replace("{for update}", if lite { "" } else { "FOR NO KEY UPDATE" }));
        }
        if text.contains("{for share}") {
            text = Cow::Owned(text.replace("{for share}", if lite { "" } else { "FOR KEY SHARE" }));
        }
        if text.contains("{each}") {
            let word =
                if lite { "json_each($1) AS item" } else { "json_array_elements($1::json) AS item (value)" };
            text = Cow::Owned(text.replace("{each}", word));
        }
        if text.contains("{now}") {
            let word = if lite {
                args.push(now.into());
                format!("${}", args.len())
            } else {
                "(extract(epoch from clock_timestamp()) * 1000000)::bigint".to_owned()
            };
            text = Cow::Owned(text.replace("{now}", &word));
        }
        let text = match text {
            Cow::Borrowed(text) => text.into_sql_str(),
            Cow::Owned(text) => AssertSqlSafe(text).into_sql_str(),
        };
        Ok((text, args))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("an enum that is stored as a word is written as something else")]
struct NotAWord;
