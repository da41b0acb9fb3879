//! `cameras`: what is plugged in.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use sandglass_detector::source::camera;

#[derive(Args)]
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
        println!("camera:{}  {}", info.id, info.name);
        match camera::formats(&info.id) {
            Ok(formats) if formats.is_empty() => println!("    no format that can be read"),
            Ok(formats) => formats.iter().for_each(|format| println!("    {format}")),
            Err(error) => {
                failed = true;
                eprintln!("failed: {error}");
            }
        }
    }
    if !found {
        let which = args.camera.as_ref().map_or_else(String::new, |name| format!(" called {name:?}"));
        eprintln!("there is no camera{which}");
    }
    Ok(ExitCode::from(u8::from(failed || !found)))
}
