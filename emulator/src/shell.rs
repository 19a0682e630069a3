//! What `env` prints: variables in the words of a shell.

use crate::args::Shell;

/// Variables to set, in order.
pub(crate) type Exports = Vec<(&'static str, String)>;

impl Shell {
    /// The shell that the variable `SHELL` names, else the most common.
    pub(crate) fn from_environment(variable: &dyn Fn(&str) -> Option<String>) -> Self {
        match variable("SHELL") {
            Some(path) if path.ends_with("/fish") => Self::Fish,
            _ => Self::Bash,
        }
    }

    /// The script that sets the variables.
    ///
    /// Each line ends with a semicolon, so that it also works where the quotes around `$(…)` were
    /// forgotten and the lines run together; for the same reason there is no comment in it.
    pub(crate) fn script(self, exports: &Exports) -> String {
        exports.iter().map(|(name, value)| self.line(name, value)).collect()
    }

    fn line(self, name: &str, value: &str) -> String {
        match self {
            Self::Bash => format!("export {name}='{}';\n", value.replace('\'', r"'\''")),
            Self::Fish => {
                let value = value.replace('\\', r"\\").replace('\'', r"\'");
                format!("set -gx {name} '{value}';\n")
            }
            Self::Powershell => format!("$env:{name} = '{}';\n", value.replace('\'', "''")),
        }
    }

    /// Tells a person who reads the script how to use it.
    pub(crate) fn hint(self) -> &'static str {
        match self {
            Self::Bash => "# to apply it: eval \"$(iothub-emulator env)\"\n",
            Self::Fish => "# to apply it: iothub-emulator env | source\n",
            Self::Powershell => {
                "# to apply it: iothub-emulator env --shell powershell | Out-String | Invoke-Expression\n"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_for_their_shell() {
        let value = r"it's $HOME\";
        let table = [
            (Shell::Bash, "export A='it'\\''s $HOME\\';\n"),
            (Shell::Fish, "set -gx A 'it\\'s $HOME\\\\';\n"),
            (Shell::Powershell, "$env:A = 'it''s $HOME\\';\n"),
        ];
        for (shell, expected) in table {
            assert_eq!(shell.script(&vec![("A", value.to_owned())]), expected);
        }
    }

    #[test]
    fn the_shell_follows_the_environment() {
        for (path, expected) in [
            (Some("/usr/bin/fish"), Shell::Fish),
            (Some("/bin/zsh"), Shell::Bash),
            (None, Shell::Bash),
        ] {
            assert_eq!(Shell::from_environment(&|_| path.map(str::to_owned)), expected);
        }
    }
}
