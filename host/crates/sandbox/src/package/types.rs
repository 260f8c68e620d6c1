//! Types of the contract as text, written out in full: two that read the same are the same.

use wit_parser::{Function, Handle, Resolve, Type, TypeDefKind, TypeId};

/// Most bytes of a type that is written out. A few lines of WIT can stand for a type of any size; none of the contract's
/// comes near this.
const LONGEST: usize = 16 << 10;
/// Most bytes of one in a message.
const SHOWN: usize = 240;

/// Parameters and result of a function.
pub(crate) fn signature(resolve: &Resolve, function: &Function) -> String {
    let mut writer = Writer { resolve, out: String::new() };
    if function.kind.is_async() {
        writer.text("async ");
    }
    writer.text("func");
    writer.list("(", ")", &function.params, |writer, param| {
        writer.text(&param.name);
        writer.text(": ");
        writer.ty(&param.ty);
    });
    if let Some(result) = &function.result {
        writer.text(" -> ");
        writer.ty(result);
    }
    writer.out
}

/// A type as a message shows it.
pub(crate) fn shown(text: &str) -> String {
    if text.len() <= SHOWN {
        format!("`{text}`")
    } else {
        format!("`{}…`", &text[..text.floor_char_boundary(SHOWN)])
    }
}

struct Writer<'a> {
    resolve: &'a Resolve,
    out: String,
}

impl Writer<'_> {
    fn text(&mut self, text: &str) {
        self.out.push_str(text);
    }

    fn list<T>(&mut self, open: &str, close: &str, items: &[T], mut each: impl FnMut(&mut Self, &T)) {
        self.text(open);
        for (at, item) in items.iter().enumerate() {
            if at > 0 {
                self.text(", ");
            }
            if self.out.len() > LONGEST {
                self.text("…");
                return;
            }
            each(self, item);
        }
        self.text(close);
    }

    fn wrapped(&mut self, name: &str, types: &[Option<Type>]) {
        self.text(name);
        self.list("<", ">", types, |writer, ty| match ty {
            Some(ty) => writer.ty(ty),
            None => writer.text("_"),
        });
    }

    fn ty(&mut self, ty: &Type) {
        if self.out.len() > LONGEST {
            return;
        }
        match ty {
            Type::Bool => self.text("bool"),
            Type::U8 => self.text("u8"),
            Type::U16 => self.text("u16"),
            Type::U32 => self.text("u32"),
            Type::U64 => self.text("u64"),
            Type::S8 => self.text("s8"),
            Type::S16 => self.text("s16"),
            Type::S32 => self.text("s32"),
            Type::S64 => self.text("s64"),
            Type::F32 => self.text("f32"),
            Type::F64 => self.text("f64"),
            Type::Char => self.text("char"),
            Type::String => self.text("string"),
            Type::ErrorContext => self.text("error-context"),
            Type::Id(id) => self.defined(*id),
        }
    }

    fn defined(&mut self, id: TypeId) {
        let resolve = self.resolve;
        let def = &resolve.types[id];
        match &def.kind {
            TypeDefKind::Type(ty) => self.ty(ty),
            TypeDefKind::Record(record) => {
                self.text("record");
                self.list(" {", "}", &record.fields, |writer, field| {
                    writer.text(&field.name);
                    writer.text(": ");
                    writer.ty(&field.ty);
                });
            }
            TypeDefKind::Variant(variant) => {
                self.text("variant");
                self.list(" {", "}", &variant.cases, |writer, case| {
                    writer.text(&case.name);
                    if let Some(ty) = &case.ty {
                        writer.wrapped("", &[Some(*ty)]);
                    }
                });
            }
            TypeDefKind::Enum(cases) => {
                self.text("enum");
                self.list(" {", "}", &cases.cases, |writer, case| writer.text(&case.name));
            }
            TypeDefKind::Flags(flags) => {
                self.text("flags");
                self.list(" {", "}", &flags.flags, |writer, flag| writer.text(&flag.name));
            }
            TypeDefKind::Resource => self.text(def.name.as_deref().unwrap_or("resource")),
            TypeDefKind::Handle(Handle::Own(id)) => self.wrapped("own", &[Some(Type::Id(*id))]),
            TypeDefKind::Handle(Handle::Borrow(id)) => self.wrapped("borrow", &[Some(Type::Id(*id))]),
            TypeDefKind::Tuple(tuple) => {
                self.text("tuple");
                self.list("<", ">", &tuple.types, |writer, ty| writer.ty(ty));
            }
            TypeDefKind::Option(ty) => self.wrapped("option", &[Some(*ty)]),
            TypeDefKind::Result(result) => self.wrapped("result", &[result.ok, result.err]),
            TypeDefKind::List(ty) => self.wrapped("list", &[Some(*ty)]),
            TypeDefKind::FixedLengthList(ty, length) => {
                self.wrapped("list", &[Some(*ty)]);
                self.text(&format!("[{length}]"));
            }
            TypeDefKind::Map(key, value) => self.wrapped("map", &[Some(*key), Some(*value)]),
            TypeDefKind::Future(ty) => self.wrapped("future", &[*ty]),
            TypeDefKind::Stream(ty) => self.wrapped("stream", &[*ty]),
            TypeDefKind::Unknown => self.text("unknown"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(wit: &str) -> String {
        let mut resolve = Resolve::default();
        resolve.push_source("test.wit", &format!("package a:b; interface i {{ {wit} }}")).unwrap();
        let interface = resolve.interfaces.iter().next().unwrap().1;
        signature(&resolve, interface.functions.values().last().unwrap())
    }

    #[test]
    fn types_are_written_out_whatever_they_are_called() {
        let plain = function(
            "f: func(a: list<record-of>) -> result<_, string>; record record-of { x: u8, y: option<f32> }",
        );
        assert_eq!(plain, "func(a: list<record {x: u8, y: option<f32>}>) -> result<_, string>");
        let renamed = "type text = string; record other { x: u8, y: option<f32> } f: func(a: list<other>) -> result<_, text>;";
        assert_eq!(function(renamed), plain);
        let resource = function("resource r { m: func(e: e); } enum e { one, two }");
        assert_eq!(resource, "func(self: borrow<r>, e: enum {one, two})");
    }

    #[test]
    fn a_type_of_any_size_is_no_bomb() {
        // Each level names the one before twice: written out in full it would have 2^60 parts.
        let mut types = "type t0 = u8;".to_owned();
        for level in 1..=60 {
            types += &format!("type t{level} = tuple<t{0}, t{0}>;", level - 1);
        }
        let written = function(&format!("{types} f: func(a: t60);"));
        assert!((LONGEST..2 * LONGEST).contains(&written.len()), "{} bytes", written.len());
        assert!(shown(&written).len() < 2 * SHOWN);
    }
}
