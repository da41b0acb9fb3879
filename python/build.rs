//! What a linker has to be told of a library whose symbols Python brings (on macOS).

fn main() {
    pyo3_build_config::add_extension_module_link_args();
}
