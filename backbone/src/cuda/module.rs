//! Kernels on a device: from the PTX that ships, or, where the driver does not take that, from their source by
//! NVRTC, if that is installed.

#![expect(unsafe_code, reason = "the driver's interface is C")]

use std::ffi::{CStr, CString, c_char, c_uint, c_void};
use std::ptr::null_mut;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use cudarc::driver::{result, sys};
use cudarc::nvrtc;

use super::driver::{c_name, describe};
use super::kernels::Source;
use super::schedule::Precision;
use crate::error::Error;

/// A source's kernels, loaded into the current context.
pub(super) struct Module {
    source: Source,
    module: sys::CUmodule,
}

// SAFETY: the driver takes a module's handle from any thread to which its context is bound.
unsafe impl Send for Module {}
// SAFETY: as above; asking for a function changes nothing.
unsafe impl Sync for Module {}

/// Bytes of the compiler's words that are kept.
const LOG: usize = 8192;

/// What is loaded, by device: the driver takes seconds to compile PTX, and a change of the backbone needs the same
/// kernels again.
static LOADED: Mutex<Vec<(usize, Precision, Weak<Module>)>> = Mutex::new(Vec::new());

impl Module {
    /// The kernels of a source on the device of this number, whose context is bound, and of this capability (× 10).
    pub(super) fn shared(
        source: &Source,
        precision: Precision,
        device: usize,
        capability: u32,
    ) -> Result<Arc<Self>, Error> {
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.retain(|(_, _, module)| module.strong_count() > 0);
        let same = loaded.iter().filter(|entry| (entry.0, entry.1) == (device, precision));
        let mut there = same.filter_map(|(_, _, module)| module.upgrade());
        if let Some(module) = there.find(|module| module.source.name == source.name) {
            return Ok(module);
        }
        let module = Arc::new(Self::load(source, precision, capability)?);
        loaded.push((device, precision, Arc::downgrade(&module)));
        Ok(module)
    }

    /// Loads a source for a device of `capability` (× 10).
    fn load(source: &Source, precision: Precision, capability: u32) -> Result<Self, Error> {
        let refuse = |reason: String, log: String| Error::CudaKernel {
            kernel: format!("source {:?}", source.name),
            reason,
            log,
        };
        let Some(ptx) = source.ptx(precision, capability) else {
            let reason = format!(
                "the device has compute capability {}.{}, and at least 7.5 is needed",
                capability / 10,
                capability % 10
            );
            return Err(refuse(reason, String::new()));
        };
        let (reason, log) = match load(&ptx) {
            Ok(module) => return Ok(Self { source: *source, module }),
            Err(failure) => failure,
        };
        // SAFETY: looking for the library runs its initialisers, as any program that uses it does.
        if !unsafe { nvrtc::sys::is_culib_present() } {
            let reason = format!("{reason}; a newer driver may help, or NVRTC of the driver's version");
            return Err(refuse(reason, log));
        }
        let ptx =
            compile(source, precision, capability).map_err(|log| refuse("NVRTC refuses it".into(), log))?;
        match load(&ptx) {
            Ok(module) => Ok(Self { source: *source, module }),
            Err((reason, log)) => Err(refuse(reason, log)),
        }
    }

    /// Whether a kernel is one of its own.
    pub(super) fn has(&self, kernel: &str) -> bool {
        self.source.kernels.iter().chain(self.source.float_kernels).any(|name| *name == kernel)
    }

    pub(super) fn function(&self, kernel: &str) -> Result<sys::CUfunction, Error> {
        let name = c_name(kernel)?;
        // SAFETY: the module is loaded.
        unsafe { result::module::get_function(self.module, name) }.map_err(|error| Error::CudaKernel {
            kernel: kernel.to_owned(),
            reason: describe(error),
            log: String::new(),
        })
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        // SAFETY: loaded in `load`; the runner that has it has ended its graph. Where the context is gone, so is
        // the module.
        let _ = unsafe { result::module::unload(self.module) };
    }
}

/// Loads PTX; where that fails, why, and what the driver's compiler said.
fn load(ptx: &str) -> Result<sys::CUmodule, (String, String)> {
    let text = CString::new(ptx).map_err(|_| ("the PTX ends in the middle".to_owned(), String::new()))?;
    let mut log = vec![0_u8; LOG];
    let mut options =
        [sys::CUjit_option::CU_JIT_ERROR_LOG_BUFFER, sys::CUjit_option::CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES];
    // The size is handed over as if it were an address.
    let mut values: [*mut c_void; 2] = [log.as_mut_ptr().cast(), std::ptr::without_provenance_mut(LOG)];
    let mut module = null_mut();
    let count = options.len() as c_uint;
    // SAFETY: the text ends with a zero, the log has as many bytes as is said, and each option has its value.
    let outcome = unsafe {
        sys::cuModuleLoadDataEx(
            &mut module,
            text.as_ptr().cast(),
            count,
            options.as_mut_ptr(),
            values.as_mut_ptr(),
        )
    };
    outcome.result().map_err(|error| {
        let said = CStr::from_bytes_until_nul(&log).map(|s| s.to_string_lossy().into_owned());
        (describe(error), said.unwrap_or_default())
    })?;
    Ok(module)
}

/// The PTX of a source for exactly this capability, or what the compiler said.
pub(super) fn compile(source: &Source, precision: Precision, capability: u32) -> Result<String, String> {
    let words = |bytes: &[c_char]| {
        let bytes: Vec<u8> = bytes.iter().map(|c| c.cast_unsigned()).take_while(|c| *c != 0).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let text = CString::new(source.text()).map_err(|error| error.to_string())?;
    let say = |error: nvrtc::result::NvrtcError| format!("{error:?}");
    let program = nvrtc::result::create_program(&text, None).map_err(say)?;
    let mut options = vec![format!("--gpu-architecture=compute_{capability}")];
    options.extend(Source::options(precision).iter().map(|option| (*option).to_owned()));
    // SAFETY: the program was just made, and is ended below.
    unsafe {
        let compiled = nvrtc::result::compile_program(program, &options);
        let ptx = match compiled {
            Ok(()) => nvrtc::result::get_ptx(program).map(|ptx| words(&ptx)).map_err(say),
            Err(error) => {
                let log = nvrtc::result::get_program_log(program).map(|log| words(&log));
                Err(format!("{error:?}\n{}", log.unwrap_or_default()))
            }
        };
        let _ = nvrtc::result::destroy_program(program);
        ptx
    }
}
