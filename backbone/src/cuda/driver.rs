//! A device, and what its driver says.

#![expect(unsafe_code, reason = "the driver's interface is C")]

use std::ffi::CString;
use std::sync::Arc;

use cudarc::driver::{CudaContext, DriverError, result, sys};

use super::schedule::Limits;
use crate::error::Error;

/// An NVIDIA GPU. Clones are the same one.
#[derive(Clone)]
pub struct Device {
    context: Arc<CudaContext>,
    name: String,
    capability: u32,
    limits: Limits,
    driver: i32,
}

/// What the driver says, with what was tried.
pub(super) fn failed(action: impl Into<String>) -> impl FnOnce(DriverError) -> Error {
    let action = action.into();
    move |error| Error::Cuda { action, reason: describe(error) }
}

pub(super) fn describe(error: DriverError) -> String {
    let text = |text: Result<&std::ffi::CStr, _>| text.map(|t| t.to_string_lossy().into_owned());
    match (text(error.error_name()), text(error.error_string())) {
        (Ok(name), Ok(words)) => format!("{words} ({name})"),
        _ => format!("{error:?}"),
    }
}

impl Device {
    /// Oldest driver interface in use, as the driver counts versions: 12.0.
    const DRIVER: i32 = 12_000;

    /// The device of this number.
    ///
    /// # Errors
    /// [`Error::NoCudaDriver`], [`Error::NoCudaDevice`], [`Error::Cuda`] where the driver is too old or fails.
    pub fn open(index: usize) -> Result<Self, Error> {
        // SAFETY: loading the driver's library runs its initialisers, as any program that uses it does.
        if !unsafe { sys::is_culib_present() } {
            return Err(Error::NoCudaDriver);
        }
        let mut version = 0;
        // SAFETY: the function writes one number.
        unsafe { sys::cuDriverGetVersion(&mut version) }
            .result()
            .map_err(failed("asking the driver's version"))?;
        if version < Self::DRIVER {
            let reason = format!(
                "the driver knows CUDA {}.{}, and 12.0 is needed; update it",
                version / 1000,
                version % 1000 / 10
            );
            return Err(Error::Cuda { action: "asking the driver's version".into(), reason });
        }
        let missing = |count: usize, reason: String| Error::NoCudaDevice { index, count, reason };
        result::init().map_err(|error| missing(0, describe(error)))?;
        let count = CudaContext::device_count().map_err(|error| missing(0, describe(error)))?;
        let count = usize::try_from(count).unwrap_or(0);
        if index >= count {
            return Err(missing(count, "devices count from 0".into()));
        }
        let context = CudaContext::new(index).map_err(failed(format!("opening cuda:{index}")))?;
        let ask = |attribute| {
            let value = context.attribute(attribute).map_err(failed("asking what the device can do"))?;
            Ok::<_, Error>(usize::try_from(value).unwrap_or(0))
        };
        use sys::CUdevice_attribute as A;
        let limits = Limits {
            // A little is left for what kernels have beside the memory that a launch asks for.
            shared: ask(A::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?.saturating_sub(1024),
            multiprocessors: ask(A::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
        };
        let (major, minor) = context.compute_capability().map_err(failed("asking what the device can do"))?;
        let capability = u32::try_from(major * 10 + minor).unwrap_or(0);
        let name = context.name().map_err(failed("asking the device's name"))?;
        Ok(Self { name, capability, limits, context, driver: version })
    }

    /// What it is called, such as `NVIDIA H200`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its compute capability × 10.
    #[must_use]
    pub fn capability(&self) -> u32 {
        self.capability
    }

    /// The newest CUDA that its driver knows, such as `12.4`.
    #[must_use]
    pub fn driver(&self) -> String {
        format!("{}.{}", self.driver / 1000, self.driver % 1000 / 10)
    }

    /// Its number.
    pub(super) fn ordinal(&self) -> usize {
        self.context.ordinal()
    }

    /// What it has.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Memory in bytes: free, and in all.
    ///
    /// # Errors
    /// [`Error::Cuda`] where the driver fails.
    pub fn memory(&self) -> Result<(usize, usize), Error> {
        self.bind()?;
        result::mem_get_info().map_err(failed("asking for free memory"))
    }

    pub(super) fn bind(&self) -> Result<(), Error> {
        self.context.bind_to_thread().map_err(failed("using the device from this thread"))
    }
}

/// The name of a kernel as the driver takes it.
pub(super) fn c_name(name: &str) -> Result<CString, Error> {
    CString::new(name).map_err(|_| Error::CudaKernel {
        kernel: name.replace('\0', "␀"),
        reason: "its name ends in the middle".into(),
        log: String::new(),
    })
}
