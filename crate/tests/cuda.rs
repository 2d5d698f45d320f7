//! CUDA must not be lost at link time: where libtorch's CUDA library is installed it is loaded, GPU or not.

use humerus::device::{DeviceChoice, load_cuda_library, resolve};

#[test]
fn libtorch_cuda_is_loaded_where_it_is_installed() {
    let maps = || std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let libraries = maps();
    let Some(torch) =
        libraries.lines().find_map(|line| line.split_whitespace().last()?.strip_suffix("libtorch_cpu.so"))
    else {
        eprintln!("skipped: this system has no /proc/self/maps to look at");
        return;
    };
    if !std::path::Path::new(torch).join("libtorch_cuda.so").exists() {
        assert!(!load_cuda_library());
        eprintln!("skipped: this libtorch was built without CUDA");
        return;
    }
    assert!(resolve(DeviceChoice::Auto).is_ok());
    assert!(maps().contains("libtorch_cuda.so"));
    // This query fails for good in a process that asked before the library was there.
    assert!(tch::utils::version_cudart() >= 12_000);
}

#[test]
fn asking_for_cuda_where_none_answers_is_one_clear_line() {
    match resolve(DeviceChoice::Cuda) {
        Ok(device) => assert!(device.is_cuda()),
        Err(error) => assert!(error.to_string().starts_with("device cuda: "), "{error}"),
    }
}
