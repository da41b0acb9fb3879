//! Wires state, workers and views together. All knowledge of eframe is here and in [`run`].

use std::path::PathBuf;
use std::sync::Arc;

use egui::{Context, ThemePreference, Ui};

use crate::backend::DetectorBackend;
use crate::command::Command;
use crate::engine::Backend;
use crate::message::Link;
use crate::settings::{Settings, Theme};
use crate::state::{Action, ModelInfo, State};
use crate::view::{self, Picture};
use crate::worker::Workers;

/// Where the settings are kept in eframe's storage.
const SETTINGS_KEY: &str = "settings";

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Path, pattern or `demo`.
    pub source: String,
    /// A backbone by name, before the remembered one.
    pub backbone: Option<String>,
    /// Weights from a file.
    pub weights: Option<PathBuf>,
    /// Threads that work on one frame; 0 for one a processor.
    pub threads: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { source: "demo".into(), backbone: None, weights: None, threads: 0 }
    }
}

/// The viewer.
pub struct App {
    state: State,
    link: Box<dyn Link>,
    picture: Picture,
    theme: Option<Theme>,
}

impl App {
    /// A viewer that gives its first orders over `link`.
    #[must_use]
    pub fn new(settings: Settings, models: Vec<ModelInfo>, link: Box<dyn Link>, options: &Options) -> Self {
        let mut state = State::new(settings, models);
        for order in state.start(&options.source, options.backbone.clone(), options.weights.clone()) {
            link.send(order);
        }
        Self { state, link, picture: Picture::default(), theme: None }
    }

    /// What it knows.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Takes in what the workers have to say.
    pub fn update(&mut self, ctx: &Context) {
        let Some(report) = self.link.poll() else { return };
        for event in report.events {
            self.state.apply(event);
        }
        if let Some(shown) = report.shown
            && self.state.show(shown.result)
        {
            self.picture.set(ctx, shown.image);
        }
    }

    /// Shows the window's contents and carries out what the user does.
    pub fn show(&mut self, ui: &mut Ui) {
        let mut actions: Vec<Action> = Command::pressed(ui.ctx()).into_iter().map(Action::Do).collect();
        actions.extend(dropped(ui.ctx()));
        actions.extend(view::show(ui, &self.state, &self.picture));
        let acted = !actions.is_empty();
        for order in actions.into_iter().flat_map(|action| self.state.act(action)) {
            self.link.send(order);
        }
        self.set_theme(ui.ctx());
        if acted {
            // This pass drew the state before the action.
            ui.ctx().request_repaint();
        }
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
    let viewport = egui::ViewportBuilder::default()
        .with_title("Sandglass")
        .with_app_id("sandglass")
        .with_inner_size([1100.0, 720.0])
        .with_min_inner_size([760.0, 560.0])
        .with_drag_and_drop(true);
    let native = eframe::NativeOptions { viewport, ..Default::default() };
    let create = move |cc: &eframe::CreationContext<'_>| -> Result<Box<dyn eframe::App>, _> {
        view::style(&cc.egui_ctx);
        let backend = Arc::new(DetectorBackend { threads: options.threads });
        let models = backend.models();
        let ctx = cc.egui_ctx.clone();
        let workers = Workers::start(backend, Arc::new(move || ctx.request_repaint()))?;
        let settings = cc.storage.and_then(|storage| eframe::get_value(storage, SETTINGS_KEY));
        Ok(Box::new(App::new(settings.unwrap_or_default(), models, Box::new(workers), &options)))
    };
    eframe::run_native("sandglass", native, Box::new(create))
        .map_err(|error| anyhow::anyhow!("the window could not be opened: {error}"))
}
