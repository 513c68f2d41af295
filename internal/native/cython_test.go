// SPDX-License-Identifier: Apache-2.0

package native

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// file is the names of a file.
type file []string

func (f file) beginning(text string, most int) (out []string) {
	for _, name := range f {
		if strings.HasPrefix(name, text) && len(out) < most {
			out = append(out, name)
		}
	}
	return out
}

// views are names that Cython 0.29 gave to a module of shop.views, with others as it would.
var views = file{
	"__pyx_pw_4shop_5views_1first", "__pyx_pf_4shop_5views_first", "__pyx_pw_4shop_5views_3abc_def", "__pyx_pf_4shop_5views_2abc_def",
	"__pyx_pw_4shop_5views_4Page_1render", "__pyx_pf_4shop_5views_4Page_render", "__pyx_pw_4shop_5views_4Page_3send", "__pyx_pf_4shop_5views_4Page_2send",
	"__pyx_pw_4shop_5views_5outer_1nested", "__pyx_pf_4shop_5views_5outer_nested", "__pyx_pw_4shop_5views_7outer", "__pyx_pf_4shop_5views_6outer",
	"__pyx_pw_4shop_5views_9gen", "__pyx_gb_4shop_5views_10generator", "__pyx_pw_4shop_5views_4Page_12__aiter__", "__pyx_gb_4shop_5views_4Page_13generator1",
	"__pyx_f_4shop_5views_4Fast_meth", "__pyx_f_4shop_5views_inner", "__pyx_pw_4shop_5views_15__pyx_fuse_0scale", "__pyx_fuse_1__pyx_f_4shop_5views_scale",
	"__pyx_pw_4shop_5views_11Application_1run",
}

func TestSourceNames(t *testing.T) {
	for symbol, want := range map[string]string{
		"__pyx_pw_4shop_5views_1first":              "shop.views.first",
		"__pyx_pf_4shop_5views_first":               "shop.views.first",
		"__pyx_pw_4shop_5views_3abc_def":            "shop.views.abc_def", // no class of three letters: its method would have a number
		"__pyx_pf_4shop_5views_2abc_def.isra.0":     "shop.views.abc_def",
		"__pyx_pw_4shop_5views_4Page_1render":       "shop.views.Page.render",
		"__pyx_pf_4shop_5views_4Page_render":        "shop.views.Page.render",
		"__pyx_pf_4shop_5views_4Page_2send":         "shop.views.Page.send",
		"__pyx_pw_4shop_5views_5outer_1nested":      "shop.views.outer.nested",
		"__pyx_pf_4shop_5views_5outer_nested":       "shop.views.outer.nested", // not the fifth, outer_nested
		"__pyx_pf_4shop_5views_6outer":              "shop.views.outer",
		"__pyx_gb_4shop_5views_10generator":         "shop.views.gen",
		"__pyx_gb_4shop_5views_4Page_13generator1":  "shop.views.Page.__aiter__",
		"__pyx_f_4shop_5views_4Fast_meth":           "shop.views.Fast.meth",
		"__pyx_f_4shop_5views_inner.constprop.0":    "shop.views.inner",
		"__pyx_pw_4shop_5views_15__pyx_fuse_0scale": "shop.views.scale",
		"__pyx_fuse_1__pyx_f_4shop_5views_scale":    "shop.views.scale",
		// What does not follow stays as it stands.
		"__pyx_pf_4shop_5views_4lost":        "__pyx_pf_4shop_5views_4lost",
		"__pyx_gb_4shop_5views_12generator2": "__pyx_gb_4shop_5views_12generator2", // 11 is no number, but a class
		"__pyx_pw_":                          "__pyx_pw_", "__pyx_pw_render": "__pyx_pw_render", "__pyx_pw_999999999999999999999_x": "__pyx_pw_999999999999999999999_x",
		"__pyx_f_4shop": "__pyx_f_4shop", "__pyx_f_4shop_": "__pyx_f_4shop_", "__pyx_f_9shop_x": "__pyx_f_9shop_x", "__pyx_f_0_x": "__pyx_f_0_x",
		"__pyx_pymod_exec_views": "__pyx_pymod_exec_views", "deflate": "deflate", "": "",
		"sha256_block_data_order.cold": "sha256_block_data_order.cold",
	} {
		assert.Equal(t, want, sourceName(symbol, views), symbol)
	}
}

func FuzzSourceName(f *testing.F) {
	for _, name := range views {
		f.Add(name)
	}
	f.Add("__pyx_pf_" + strings.Repeat("1a_", 100) + "x")
	f.Fuzz(func(t *testing.T, symbol string) {
		got := sourceName(symbol, views)
		assert.LessOrEqual(t, len(got), max(len(symbol), len(slices.MaxFunc(views, func(a, b string) int { return len(a) - len(b) }))))
	})
}
