//! Rows, and their columns as domain types. What does not parse names its table, column and row.

use std::{fmt::Display, str::FromStr};

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use sqlx::{ColumnIndex, Decode, Postgres, Row as _, Sqlite, Type, postgres::PgRow, sqlite::SqliteRow};

use crate::error::{Error, Result};

/// A row of either engine.
pub(crate) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

/// What both engines can read.
pub(crate) trait Column:
    for<'r> Decode<'r, Sqlite> + Type<Sqlite> + for<'r> Decode<'r, Postgres> + Type<Postgres>
{
}

impl<T> Column for T where
    T: for<'r> Decode<'r, Sqlite> + Type<Sqlite> + for<'r> Decode<'r, Postgres> + Type<Postgres>
{
}

impl Row {
    /// The columns, for reading: `key` is the column that tells rows of `table` apart.
    pub(crate) fn of(&self, table: &'static str, key: &'static str) -> Columns<'_> {
        Columns { row: self, table, key }
    }

    /// The only column of a query that counts or adds.
    pub(crate) fn number(&self) -> Result<i64> {
        Ok(self.try_get(0)?)
    }

    fn try_get<T: Column, I>(&self, column: I) -> sqlx::Result<T>
    where
        I: ColumnIndex<SqliteRow> + ColumnIndex<PgRow>,
    {
        match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get(column),
        }
    }
}

/// Reads the columns of a row.
#[derive(Clone, Copy)]
pub(crate) struct Columns<'r> {
    row: &'r Row,
    table: &'static str,
    key: &'static str,
}

impl Columns<'_> {
    fn wrong(&self, column: &'static str, why: impl Display) -> Error {
        let row = match self.row.try_get::<String, _>(self.key) {
            Ok(key) => key,
            Err(_) => {
                self.row.try_get::<i64, _>(self.key).map_or_else(|_| "?".to_owned(), |key| key.to_string())
            }
        };
        Error::Row { table: self.table, column, row, why: why.to_string() }
    }

    /// As the engine gives it.
    pub(crate) fn get<T: Column>(&self, column: &'static str) -> Result<T> {
        self.row.try_get(column).map_err(|error| self.wrong(column, error))
    }

    /// A text that parses.
    pub(crate) fn parse<T: FromStr<Err: Display>>(&self, column: &'static str) -> Result<T> {
        let text: String = self.get(column)?;
        text.parse().map_err(|error| self.wrong(column, error))
    }

    /// A text that parses, or nothing.
    pub(crate) fn parse_opt<T: FromStr<Err: Display>>(&self, column: &'static str) -> Result<Option<T>> {
        let text: Option<String> = self.get(column)?;
        text.map(|text| text.parse().map_err(|error| self.wrong(column, error))).transpose()
    }

    /// A word of an enum, as serde writes it.
    pub(crate) fn word<T: DeserializeOwned>(&self, column: &'static str) -> Result<T> {
        let word: String = self.get(column)?;
        serde_json::from_value(serde_json::Value::String(word)).map_err(|error| self.wrong(column, error))
    }

    /// JSON.
    pub(crate) fn json<T: DeserializeOwned>(&self, column: &'static str) -> Result<T> {
        let text: String = self.get(column)?;
        serde_json::from_str(&text).map_err(|error| self.wrong(column, error))
    }

    /// JSON, or nothing.
    pub(crate) fn json_opt<T: DeserializeOwned>(&self, column: &'static str) -> Result<Option<T>> {
        let text: Option<String> = self.get(column)?;
        text.map(|text| serde_json::from_str(&text).map_err(|error| self.wrong(column, error))).transpose()
    }

    /// A time.
    pub(crate) fn time(&self, column: &'static str) -> Result<Timestamp> {
        let micros: i64 = self.get(column)?;
        Timestamp::from_microsecond(micros).map_err(|error| self.wrong(column, error))
    }

    /// A time, or nothing.
    pub(crate) fn time_opt(&self, column: &'static str) -> Result<Option<Timestamp>> {
        let micros: Option<i64> = self.get(column)?;
        let time = |micros| Timestamp::from_microsecond(micros).map_err(|error| self.wrong(column, error));
        micros.map(time).transpose()
    }

    /// A number without a sign.
    pub(crate) fn unsigned<T: TryFrom<i64, Error: Display>>(&self, column: &'static str) -> Result<T> {
        let number: i64 = self.get(column)?;
        T::try_from(number).map_err(|error| self.wrong(column, error))
    }

    /// A number without a sign, or nothing.
    pub(crate) fn unsigned_opt<T: TryFrom<i64, Error: Display>>(
        &self,
        column: &'static str,
    ) -> Result<Option<T>> {
        let number: Option<i64> = self.get(column)?;
        number.map(|number| T::try_from(number).map_err(|error| self.wrong(column, error))).transpose()
    }

    /// A path of a store.
    pub(crate) fn path(&self, column: &'static str) -> Result<syncline_domain::RelPath> {
        let bytes: Vec<u8> = self.get(column)?;
        syncline_domain::RelPath::new(bytes).map_err(|error| self.wrong(column, error))
    }

    /// A value that passes a check of its own.
    pub(crate) fn check<T, E: Display>(&self, column: &'static str, value: Result<T, E>) -> Result<T> {
        value.map_err(|error| self.wrong(column, error))
    }
}
