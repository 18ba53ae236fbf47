//! `glue <wasm> <directory>`: runs wasm-bindgen, which writes `worker.js` and `worker_bg.wasm` there.

use std::process::ExitCode;

use wasm_bindgen_cli_support::Bindgen;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [wasm, directory] = arguments.as_slice() else {
        eprintln!("Usage: glue <wasm> <directory>");
        return ExitCode::FAILURE;
    };
    let mut bindgen = Bindgen::new();
    bindgen
        .input_path(wasm)
        .out_name("worker")
        .reset_state_function(true)
        .force_enable_abort_handler(true);
    match bindgen.module(true).and_then(|bindgen| bindgen.generate(directory)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{wasm}: {error:#}");
            ExitCode::FAILURE
        }
    }
}
