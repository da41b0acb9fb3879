//! `cameras`: what is plugged in.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use sandglass_detector::complain;
use sandglass_detector::source::camera;

use crate::output::say;

#[derive(Args)]
#[command(after_help = "Example:\n  sandglass-detect cameras")]
pub(crate) struct CamerasArgs {
    /// Only this camera, by number or name
    camera: Option<String>,
}

pub(crate) fn run(args: &CamerasArgs) -> Result<ExitCode> {
    let cameras = camera::cameras()?;
    let wanted = |info: &camera::CameraInfo| {
        args.camera.as_ref().is_none_or(|name| info.id == *name || info.name.contains(name.as_str()))
    };
    let mut found = false;
    let mut failed = false;
    for info in cameras.iter().filter(|info| wanted(info)) {
        found = true;
        say(format_args!("camera:{}  {}", info.id, info.name))?;
        match camera::formats(&info.id) {
            Ok(formats) if formats.is_empty() => say("    no format that can be read")?,
            Ok(formats) => formats.iter().try_for_each(|format| say(format_args!("    {format}")))?,
            Err(error) => {
                failed = true;
                complain!("failed: {error}");
            }
        }
    }
    if !found {
        let which = args.camera.as_ref().map_or_else(String::new, |name| format!(" called {name:?}"));
        complain!("there is no camera{which}");
    }
    Ok(ExitCode::from(u8::from(failed || !found)))
}
