//! The Rust side of `wit/`, generated.

wasmtime::component::bindgen!({
    path: "wit",
    world: "wasgi:gateway/offered",
    imports: {
        "wasgi:gateway/hashing": async | trappable,
        "wasgi:gateway/input.read": async | trappable,
        "wasgi:gateway/response.write": async | trappable,
        default: trappable,
    },
    exports: { default: async },
});

/// What only a component that is released exports.
pub(super) mod releasable {
    wasmtime::component::bindgen!({
        path: "wit",
        world: "wasgi:gateway/releasable",
        exports: { default: async },
    });
}

/// What only a component exports that says when it can be rewound to.
pub(super) mod rewindable {
    wasmtime::component::bindgen!({
        path: "wit",
        world: "wasgi:gateway/rewindable",
        exports: { default: async },
    });
}

/// What only a component exports that can be called without handles.
pub(super) mod callable {
    wasmtime::component::bindgen!({
        path: "wit",
        world: "wasgi:gateway/callable",
        exports: { default: async },
        with: { "wasgi:gateway/types": super::wasgi::gateway::types },
    });

    impl<T: 'static> CallablePre<T> {
        /// The functions of an instance that was made of this component.
        pub(in crate::sandbox) fn load(
            &self,
            store: impl wasmtime::AsContextMut,
            instance: &wasmtime::component::Instance,
        ) -> wasmtime::Result<Callable> {
            self.indices.load(store, instance)
        }
    }
}

impl<T: 'static> OfferedPre<T> {
    /// The functions of an instance that was made of this component.
    pub(super) fn load(&self, store: impl wasmtime::AsContextMut, instance: &wasmtime::component::Instance) -> wasmtime::Result<Offered> {
        self.indices.load(store, instance)
    }
}
