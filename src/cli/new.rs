//! `wasgi new`.

use super::{
    args,
    build::{Talk, say_data},
    fault::Failure,
};
use crate::build::{Progress, Template, create};

pub(super) fn run(typed: &args::New) -> Result<(), Failure> {
    let template = Template::from(typed.template);
    let here = std::env::current_dir().map_err(|error| Failure::of(&error))?;
    create(template, &here.join(&typed.name))?;
    let shown = typed.name.display();
    Talk.step("new", &format!("{shown}, an application in {template}"));
    Talk.step("write", &format!("wasgi dev {shown}"));
    Talk.step("serve", &serve(template, &shown.to_string()));
    say_data(&shown.to_string());
    Ok(())
}

fn serve(template: Template, name: &str) -> String {
    match template {
        Template::Django => format!("wasgi serve {name} --env-file {name}/.env --data DIR"),
        Template::Flask | Template::Wsgi | Template::Rust | Template::C | Template::Go | Template::JavaScript => {
            format!("wasgi serve {name}")
        }
    }
}
