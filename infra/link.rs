//! The build script of every bootstrap: links it at a fixed address. Lambda starts it anew for each sandbox,
//! and the relocations of one that may lie anywhere are worked off at each start.

#[expect(
    clippy::disallowed_methods,
    reason = "the environment of a build script is its input"
)]
fn main() {
    println!("cargo::rerun-if-changed=../../infra/link.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux") {
        println!("cargo::rustc-link-arg-bins=-no-pie");
    }
}
