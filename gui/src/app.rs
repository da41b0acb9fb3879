//! Wires state, workers and views together. All knowledge of eframe is here and in [`run`].

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use egui::{Context, ThemePreference, Ui};
use sandglass_detector::Device;
use sandglass_detector::program::crash;

use crate::backend::DetectorBackend;
use crate::command::Command;
use crate::engine::Backend;
use crate::message::{Link, Order};
use crate::renderer;
use crate::settings::{Settings, Theme};
use crate::state::{Action, ModelInfo, State};
use crate::view::{self, Texture};
use crate::worker::Workers;

/// Where the settings are kept in eframe's storage.
const SETTINGS_KEY: &str = "settings";

/// How often the memory of the program is looked up, while anything happens.
const LOOK_AT_MEMORY: Duration = Duration::from_secs(1);

/// What the command line asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Path, pattern, camera or `demo`; `None` for the first camera, or the demo where there is none.
    pub source: Option<String>,
    /// A backbone by name, before the remembered one.
    pub backbone: Option<String>,
    /// Weights from a file.
    pub weights: Option<PathBuf>,
    /// Threads that work on one frame, 0 for one a processor; `None` for what is remembered.
    pub threads: Option<usize>,
    /// Where detectors run.
    pub device: Device,
}

/// The viewer.
pub struct App {
    state: State,
    link: Box<dyn Link>,
    texture: Texture,
    theme: Option<Theme>,
    fullscreen: bool,
    looked_at_memory: Option<Instant>,
    /// Whether the user was told of a worker that ended by a mistake of ours.
    told_of_crash: bool,
    /// Time of our own code since the last pass.
    busy: Duration,
}

impl App {
    /// A viewer that gives its first orders over `link`.
    #[must_use]
    pub fn new(
        mut settings: Settings,
        models: Vec<ModelInfo>,
        link: Box<dyn Link>,
        options: &Options,
    ) -> Self {
        settings.threads = options.threads.unwrap_or(settings.threads);
        let mut state = State::new(settings, models);
        let source = options.source.as_deref();
        for order in state.start(source, options.backbone.clone(), options.weights.clone()) {
            link.send(order);
        }
        Self {
            state,
            link,
            texture: Texture::default(),
            theme: None,
            fullscreen: false,
            looked_at_memory: None,
            told_of_crash: false,
            busy: Duration::ZERO,
        }
    }

    /// What it knows.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Does what the user would do by a control, and returns the orders that were given.
    pub fn act(&mut self, action: Action) -> Vec<Order> {
        let orders = self.state.act(action);
        for order in &orders {
            self.link.send(order.clone());
        }
        orders
    }

    /// Offers the note of a crash: of the one before this start, or of a worker just now.
    pub fn offer_crash_note(&mut self, note: PathBuf, now: bool) {
        self.state.offer_crash_note(note, now);
    }

    /// Takes in what the workers have to say.
    pub fn update(&mut self, ctx: &Context) {
        let begin = Instant::now();
        if !self.told_of_crash && crash::happened() {
            self.told_of_crash = true;
            if let Some(folder) = crash::folder() {
                self.offer_crash_note(crash::note_in(&folder), true);
            }
        }
        if let Some(report) = self.link.poll() {
            for event in report.events {
                for order in self.state.apply(event) {
                    self.link.send(order);
                }
            }
            if let Some(picture) = report.picture
                && self.state.show(picture.shot)
            {
                self.texture.set(ctx, picture.image);
            }
            if let Some(found) = report.found {
                self.state.see(found);
            }
        }
        let due = self.looked_at_memory.is_none_or(|last| last.elapsed() >= LOOK_AT_MEMORY);
        if due {
            self.looked_at_memory = Some(begin);
            self.state.stats.memory = memory_stats::memory_stats().map(|memory| memory.physical_mem);
        }
        self.busy += begin.elapsed();
    }

    /// Shows the window's contents and carries out what the user does.
    pub fn show(&mut self, ui: &mut Ui) {
        let begin = Instant::now();
        let mut actions: Vec<Action> = Command::pressed(ui.ctx()).into_iter().map(Action::Do).collect();
        actions.extend(dropped(ui.ctx()));
        actions.extend(view::show(ui, &self.state, &self.texture));
        let acted = !actions.is_empty();
        for action in actions {
            self.act(action);
        }
        self.set_theme(ui.ctx());
        if self.fullscreen != self.state.fullscreen {
            self.fullscreen = self.state.fullscreen;
            ui.ctx().send_viewport_cmd(egui::ViewportCommand::Fullscreen(self.fullscreen));
        }
        if acted {
            // This pass drew the state before the action.
            ui.ctx().request_repaint();
        }
        let busy = std::mem::take(&mut self.busy) + begin.elapsed();
        self.state.stats.pass(busy.as_secs_f32() * 1000.0);
    }

    fn set_theme(&mut self, ctx: &Context) {
        let theme = self.state.settings.theme;
        if self.theme != Some(theme) {
            self.theme = Some(theme);
            ctx.set_theme(match theme {
                Theme::System => ThemePreference::System,
                Theme::Light => ThemePreference::Light,
                Theme::Dark => ThemePreference::Dark,
            });
        }
    }
}

/// The first of the files that were dropped on the window.
fn dropped(ctx: &Context) -> Option<Action> {
    ctx.input(|input| {
        let file = input.raw.dropped_files.first()?;
        Some(Action::Open(file.path().display().to_string()))
    })
}

impl eframe::App for App {
    fn logic(&mut self, ctx: &Context, _frame: &mut eframe::Frame) {
        // Also called while the window is hidden, so that news never pile up.
        self.update(ctx);
    }

    fn ui(&mut self, ui: &mut Ui, _frame: &mut eframe::Frame) {
        self.show(ui);
    }

    fn save(&mut self, storage: &mut dyn eframe::Storage) {
        eframe::set_value(storage, SETTINGS_KEY, &self.state.settings);
    }
}

/// Opens the window and returns when it is closed.
///
/// # Errors
/// Where there is no display, or the system refuses a window or a thread.
pub fn run(options: Options) -> anyhow::Result<()> {
    let mut last_crash = None;
    if let Some(folder) = crash::folder() {
        last_crash = crash::take(&folder);
        crash::install("sandglass", env!("CARGO_PKG_VERSION"), folder);
    }
    renderer::listen();
    let viewport = egui::ViewportBuilder::default()
        .with_title("Sandglass")
        .with_app_id("sandglass")
        .with_inner_size([1180.0, 740.0])
        .with_min_inner_size([760.0, 480.0])
        .with_drag_and_drop(true);
    // Without a picture of its own the window has the system's.
    let icon = eframe::icon_data::from_png_bytes(include_bytes!("../../packaging/sandglass.png")).ok();
    let viewport = icon.into_iter().fold(viewport, egui::ViewportBuilder::with_icon);
    let native = eframe::NativeOptions { viewport, ..Default::default() };
    let create = move |cc: &eframe::CreationContext<'_>| -> Result<Box<dyn eframe::App>, _> {
        view::style(&cc.egui_ctx);
        let backend = Arc::new(DetectorBackend { device: options.device });
        let models = backend.models();
        let ctx = cc.egui_ctx.clone();
        let workers = Workers::start(backend, Arc::new(move || ctx.request_repaint()))?;
        // Ctrl-C in the terminal closes the window as its button does, so that recordings are finished.
        let ctx = cc.egui_ctx.clone();
        let close = move || {
            ctx.send_viewport_cmd(egui::ViewportCommand::Close);
            ctx.request_repaint();
        };
        ctrlc::set_handler(close)?;
        let settings = cc.storage.and_then(|storage| eframe::get_value(storage, SETTINGS_KEY));
        let mut app = App::new(settings.unwrap_or_default(), models, Box::new(workers), &options);
        if let Some(note) = last_crash {
            app.offer_crash_note(note, false);
        }
        Ok(Box::new(app))
    };
    eframe::run_native("sandglass", native, Box::new(create))
        .map_err(|error| {
        let displays = ["DISPLAY", "WAYLAND_DISPLAY", "WAYLAND_SOCKET"];
        match cfg!(target_os = "linux") && displays.iter().all(|name| std::env::var_os(name).is_none()) {
            true => anyhow::anyhow!(
                "there is no display (DISPLAY and WAYLAND_DISPLAY are not set); sandglass-detect works without one"
            ),
            false => anyhow::anyhow!("the window could not be opened: {error}"),
        }
    })
}
