// SPDX-License-Identifier: Apache-2.0

package tui

import "charm.land/bubbles/v2/key"

// keyMap is all keys, and what the help says of them.
type keyMap struct {
	Up, Down, PageUp, PageDown, Top, Bottom key.Binding
	Open, Back                              key.Binding
	Sort, SortBack, Reverse, Filter, Pause  key.Binding
	Raise, Lower, Window, Unseen            key.Binding
	Help, Quit, Suspend                     key.Binding
}

func binding(help, does string, keys ...string) key.Binding {
	return key.NewBinding(key.WithKeys(keys...), key.WithHelp(help, does))
}

var keys = keyMap{
	Up:       binding("↑ k", "one up", "up", "k"),
	Down:     binding("↓ j", "one down", "down", "j"),
	PageUp:   binding("PgUp b", "a page up", "pgup", "b"),
	PageDown: binding("PgDn Space", "a page down", "pgdown", "space"),
	Top:      binding("Home g", "to the top, and stay there", "home", "g"),
	Bottom:   binding("End G", "to the end", "end", "G"),
	Open:     binding("Enter", "details", "enter"),
	Back:     binding("Esc", "back", "esc", "backspace"),
	Sort:     binding("s", "sort", "s"),
	SortBack: binding("S", "sort by the column before", "S"),
	Reverse:  binding("r", "reverse the order", "r"),
	Filter:   binding("/", "filter", "/"),
	Pause:    binding("p", "pause", "p"),
	Raise:    binding("+", "threshold", "+", "="),
	Lower:    binding("-", "threshold down", "-", "_"),
	Window:   binding("w", "window", "w"),
	Unseen:   binding("u", "unseen", "u"),
	Help:     binding("?", "help", "?", "h", "f1"),
	Quit:     binding("q", "quit", "q", "ctrl+c"),
	Suspend:  binding("Ctrl-Z", "suspend", "ctrl+z"),
}

// tableHelp and textHelp are what the last line says.
var (
	tableHelp = []key.Binding{keys.Quit, keys.Help, keys.Open, keys.Sort, keys.Filter, keys.Pause, binding("+-", "threshold", "+"), keys.Window}
	textHelp  = []key.Binding{keys.Back, keys.Quit, keys.Help, binding("↑↓", "scroll", "up"), keys.Pause, binding("+-", "threshold", "+"), keys.Window}
)
