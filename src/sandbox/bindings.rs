//! The Rust side of `wit/`, generated. A handle's type here is only a mark: the number of its exchange is all that it carries
//! (see `hostcalls`).

wasmtime::component::bindgen!({
    path: "wit",
    world: "app-python",
    imports: {
        "wasgi:gateway/server.[method]input.read": async | trappable,
        "wasgi:gateway/server.[method]writer.write": async | trappable,
        default: trappable,
    },
    exports: { default: async },
    with: {
        "wasgi:gateway/server.input": super::hostcalls::InputHandle,
        "wasgi:gateway/server.errors": super::hostcalls::ErrorsHandle,
        "wasgi:gateway/server.writer": super::hostcalls::WriterHandle,
    },
});
