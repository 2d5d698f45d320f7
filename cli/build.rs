//! Lets the command and the tests find libtorch without an environment variable: its folder goes into their run path.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // torch-sys (its `links` name is tch) says where it found the libraries, for direct dependents alone.
    if let Some(libraries) = std::env::var_os("DEP_TCH_LIBTORCH_LIB") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{}", libraries.display());
    }
}
