//! Values of attributes, those of OpenTelemetry.

/// A value; nothing set is the empty value.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AnyValue {
    /// Which kind, and what.
    #[prost(oneof = "Value", tags = "1, 2, 3, 4, 5, 6, 7")]
    pub value: Option<Value>,
}

/// The kinds of values.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Value {
    /// Text.
    #[prost(string, tag = "1")]
    String(String),
    /// Yes or no.
    #[prost(bool, tag = "2")]
    Bool(bool),
    /// A whole number.
    #[prost(int64, tag = "3")]
    Int(i64),
    /// Any number.
    #[prost(double, tag = "4")]
    Double(f64),
    /// A list.
    #[prost(message, tag = "5")]
    Array(ArrayValue),
    /// Keys and values.
    #[prost(message, tag = "6")]
    KeyValues(KeyValueList),
    /// Bytes.
    #[prost(bytes = "vec", tag = "7")]
    Bytes(Vec<u8>),
}

/// A list of values; a message of its own, since one of several fields cannot be repeated.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ArrayValue {
    /// Can be empty.
    #[prost(message, repeated, tag = "1")]
    pub values: Vec<AnyValue>,
}

/// A list of keys and values. Keys should be unique.
#[derive(Clone, PartialEq, prost::Message)]
pub struct KeyValueList {
    /// Can be empty.
    #[prost(message, repeated, tag = "1")]
    pub values: Vec<KeyValue>,
}

/// A key and its value: an attribute.
#[derive(Clone, PartialEq, prost::Message)]
pub struct KeyValue {
    /// Such as `service.name`.
    #[prost(string, tag = "1")]
    pub key: String,
    /// What is said of it.
    #[prost(message, optional, tag = "2")]
    pub value: Option<AnyValue>,
}
