//! The Rust side of `wit/`, generated.

wasmtime::component::bindgen!({
    path: "wit",
    world: "app-python",
    imports: {
        "wasgi:gateway/input.read": async | trappable,
        "wasgi:gateway/response.write": async | trappable,
        default: trappable,
    },
    exports: { default: async },
});
