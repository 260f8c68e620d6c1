//! The core module that the compiler made: asking it for its settings' schema, and making it ready to be a component.

use anyhow::{Context, Result, anyhow, bail};
use wasmi::{Engine, Linker, Module, Store, Val};

/// Export of the SDK that answers with the address (upper half) and length (lower half) of a JSON Schema.
const SCHEMA_EXPORT: &str = "syncline_settings_schema";
/// Function of the SDK that the compiler's code calls: that makes it an export, which nobody outside has a use for.
const COMPARE_EXPORT: &str = "memcmp";
/// Where the linker says that the heap begins.
const HEAP_EXPORT: &str = "__heap_base";
const PAGE: u64 = 64 * 1024;
/// Bytes that a module begins with at least: the host maps them with the instance, which costs less than growing later.
const INITIAL: u64 = 256 * 1024;
/// Bytes of these that are left for the heap at least.
const HEAP: u64 = 64 * 1024;
/// Instructions for making a schema: some hundred times what a large one takes.
const FUEL: u64 = 10_000_000_000;

/// The settings' schema, by running the function of the SDK that makes it. `None` if the module has no such function.
pub(crate) fn settings_schema(wasm: &[u8]) -> Result<Option<serde_json::Value>> {
    let engine = Engine::new(wasmi::Config::default().consume_fuel(true));
    let module = Module::new(&engine, wasm).context("the compiler's output is no module")?;
    if module.get_export(SCHEMA_EXPORT).is_none() {
        return Ok(None);
    }
    let text = run_schema(&engine, &module).context(
        "making the settings' schema failed: implementations of `JsonSchema` and `Default` must not call the host",
    )?;
    let schema: serde_json::Value =
        serde_json::from_slice(&text).context("the settings' schema is no JSON")?;
    if schema.get("type").and_then(|kind| kind.as_str()) != Some("object") {
        bail!("settings must be a JSON object: make `Settings` a struct with named fields");
    }
    Ok(Some(schema))
}

fn run_schema(engine: &Engine, module: &Module) -> Result<Vec<u8>> {
    let mut store = Store::new(engine, ());
    store.set_fuel(FUEL).map_err(|error| anyhow!("{error}"))?;
    let mut linker = Linker::new(engine);
    for import in module.imports() {
        let Some(ty) = import.ty().func() else {
            bail!("it imports {}, which is no function", import.name())
        };
        let name = format!("{} {}", import.module(), import.name());
        let refuse = move |_: wasmi::Caller<'_, ()>, _: &[Val], _: &mut [Val]| {
            Err(wasmi::Error::new(format!("it called {name}")))
        };
        linker.func_new(import.module(), import.name(), ty.clone(), refuse)?;
    }
    let instance = linker.instantiate_and_start(&mut store, module)?;
    let function = instance.get_typed_func::<(), u64>(&store, SCHEMA_EXPORT)?;
    let packed = function.call(&mut store, ())?;
    let memory = instance.get_memory(&store, "memory").context("it exports no memory")?;
    let (from, length) = ((packed >> 32) as usize, (packed & 0xffff_ffff) as usize);
    let text = memory.data(&store).get(from..from.saturating_add(length));
    Ok(text.context("the schema lies outside of the memory")?.to_vec())
}

/// Without the exports that only this tool uses or nobody, without what only they need, and with memory to begin with.
pub(crate) fn finish(wasm: &[u8]) -> Result<Vec<u8>> {
    let mut module = walrus::Module::from_buffer(wasm).context("the compiler's output is no module")?;
    let memory = module.memories.iter().map(walrus::Memory::id).next().context("the module has no memory")?;
    let heap = heap_base(&module);
    let memory = module.memories.get_mut(memory);
    let pages = INITIAL.max(heap.unwrap_or(0) + HEAP).div_ceil(PAGE);
    memory.initial = memory.initial.max(pages);
    for name in [SCHEMA_EXPORT, COMPARE_EXPORT, HEAP_EXPORT, "__data_end"] {
        if module.exports.iter().any(|export| export.name == name) {
            module.exports.remove(name)?;
        }
    }
    walrus::passes::gc::run(&mut module);
    Ok(module.emit_wasm())
}

fn heap_base(module: &walrus::Module) -> Option<u64> {
    let export = module.exports.iter().find(|export| export.name == HEAP_EXPORT)?;
    let walrus::ExportItem::Global(id) = export.item else { return None };
    match module.globals.get(id).kind {
        walrus::GlobalKind::Local(walrus::ConstExpr::Value(walrus::ir::Value::I32(base))) => {
            u64::try_from(base).ok()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_encoder::{
        CodeSection, ConstExpr, DataSection, ExportKind, ExportSection, Function, FunctionSection,
        GlobalSection, GlobalType, ImportSection, MemorySection, MemoryType, TypeSection, ValType,
    };

    /// A module whose function of the SDK answers with `text`, or calls an import first.
    fn module(text: &str, calls_host: bool, heap_base: i32) -> Vec<u8> {
        let mut types = TypeSection::new();
        types.ty().function([], []);
        types.ty().function([], [ValType::I64]);
        let mut imports = ImportSection::new();
        imports.import("host", "call", wasm_encoder::EntityType::Function(0));
        let mut functions = FunctionSection::new();
        functions.function(1);
        let mut memories = MemorySection::new();
        memories.memory(MemoryType {
            minimum: 2,
            maximum: None,
            memory64: false,
            shared: false,
            page_size_log2: None,
        });
        let mut globals = GlobalSection::new();
        let ty = GlobalType { val_type: ValType::I32, mutable: false, shared: false };
        globals.global(ty, &ConstExpr::i32_const(heap_base));
        let mut exports = ExportSection::new();
        exports.export("memory", ExportKind::Memory, 0);
        exports.export(SCHEMA_EXPORT, ExportKind::Func, 1);
        exports.export(HEAP_EXPORT, ExportKind::Global, 0);
        let mut body = Function::new([]);
        if calls_host {
            body.instructions().call(0);
        }
        body.instructions().i64_const((16 << 32) | i64::try_from(text.len()).unwrap()).end();
        let mut code = CodeSection::new();
        code.function(&body);
        let mut data = DataSection::new();
        data.active(0, &ConstExpr::i32_const(16), text.bytes());
        let mut module = wasm_encoder::Module::new();
        module.section(&types).section(&imports).section(&functions).section(&memories).section(&globals);
        module.section(&exports).section(&code).section(&data);
        module.finish()
    }

    #[test]
    fn the_schema_is_what_the_function_answers() {
        let wasm = module(r#"{"type":"object","title":"x"}"#, false, 1024);
        assert_eq!(settings_schema(&wasm).unwrap().unwrap()["title"], "x");
        assert_eq!(settings_schema(&wasm_encoder::Module::new().finish()).unwrap(), None);
    }

    #[test]
    fn what_is_no_schema_of_an_object_is_refused_with_what_to_do() {
        let refusal = |wasm: &[u8]| format!("{:#}", settings_schema(wasm).unwrap_err());
        assert!(refusal(&module(r#"{"type":"string"}"#, false, 0)).contains("make `Settings` a struct"));
        let called = refusal(&module("{}", true, 0));
        assert!(called.contains("must not call the host") && called.contains("host call"), "{called}");
    }

    #[test]
    fn finishing_takes_out_what_only_the_tool_needs_and_gives_room_for_the_heap() {
        for (heap_base, pages) in [(70_000, 4), (200_000, 5), (1_000_000, 17)] {
            let wasm = finish(&module("{}", true, heap_base)).unwrap();
            let module = walrus::Module::from_buffer(&wasm).unwrap();
            assert_eq!(module.memories.iter().next().unwrap().initial, pages, "{heap_base}");
            assert_eq!(
                module.exports.iter().map(|export| export.name.as_str()).collect::<Vec<_>>(),
                ["memory"]
            );
            assert_eq!((module.imports.iter().count(), module.funcs.iter().count()), (0, 0));
        }
    }
}
