// SPDX-License-Identifier: Apache-2.0

package usdt

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/loopwatch/loopwatch/internal/abi"
)

// How tells where an argument is.
type How uint8

const (
	Unknown  = How(abi.UsdtUnknown)  // a place that is not understood, such as a symbol's
	Constant = How(abi.UsdtConstant) // the value is Arg.Offset
	Register = How(abi.UsdtRegister) // in a register
	Memory   = How(abi.UsdtMemory)   // in memory, Offset behind what the register holds
)

// Arg says where an argument is when its site is hit.
type Arg struct {
	How    How
	Size   uint8 // bytes: 1, 2, 4 or 8
	Signed bool
	// Register is where the register stands in struct pt_regs (user_pt_regs on arm64), bytes.
	Register uint16
	Offset   int64
}

// maxArgs bounds the arguments of one site, as the macros that make them do.
const maxArgs = 12

// parseArgs reads "-4@%eax 8@16(%rsp)". The place of one that is not understood is Unknown; how
// many these are is returned, too.
func parseArgs(text string, machine uint16) (args []Arg, refused int) {
	parse := parseAMD64
	if machine == machineARM64 {
		parse = parseARM64
	}
	for _, word := range splitArgs(text) {
		if len(args) == maxArgs {
			return args, refused + 1
		}
		a, ok := parseSize(word)
		if ok {
			_, operand, _ := strings.Cut(word, "@")
			ok = parse(operand, &a)
		}
		if !ok {
			a = Arg{}
			refused++
		}
		args = append(args, a)
	}
	return args, refused
}

// splitArgs cuts at spaces, but for those inside the brackets of "8@[sp, 16]".
func splitArgs(text string) []string {
	depth := 0
	return strings.FieldsFunc(text, func(r rune) bool {
		switch r {
		case '[':
			depth++
		case ']':
			depth--
		}
		return r == ' ' && depth <= 0
	})
}

// parseSize reads what stands before the @: bytes, negative where signed.
func parseSize(word string) (Arg, bool) {
	before, _, found := strings.Cut(word, "@")
	n, err := strconv.Atoi(before)
	if !found || err != nil {
		return Arg{}, false
	}
	a := Arg{Signed: n < 0}
	switch n {
	case 1, 2, 4, 8:
		a.Size = uint8(n)
	case -1, -2, -4, -8:
		a.Size = uint8(-n)
	default:
		return Arg{}, false
	}
	return a, true
}

func (a *Arg) constant(text string) bool {
	v, err := strconv.ParseInt(text, 0, 64)
	if err != nil {
		u, err := strconv.ParseUint(text, 0, 64)
		if err != nil {
			return false
		}
		v = int64(u)
	}
	a.How, a.Offset = Constant, v
	return true
}

// memory enters a place in memory. The offsets of instructions have 32 bits.
func (a *Arg) memory(offset string, register uint16) bool {
	if offset == "" {
		offset = "0"
	}
	v, err := strconv.ParseInt(offset, 0, 32)
	if err != nil {
		return false
	}
	a.How, a.Register, a.Offset = Memory, register, v
	return true
}

var amd64Memory = regexp.MustCompile(`^([-+]?(?:0x)?[0-9a-f]*)\(%([a-z0-9]+)\)$`)

// parseAMD64 reads $5, %eax and -16(%rbp). Places with an index register or relative to a
// symbol are not understood.
func parseAMD64(operand string, a *Arg) bool {
	switch {
	case strings.HasPrefix(operand, "$"):
		return a.constant(operand[1:])
	case strings.HasPrefix(operand, "%"):
		register, ok := amd64Register(operand[1:])
		if !ok {
			return false
		}
		a.How, a.Register = Register, register
		return true
	}
	m := amd64Memory.FindStringSubmatch(operand)
	if m == nil {
		return false
	}
	register, ok := amd64Wide[m[2]]
	return ok && a.memory(m[1], register)
}

// amd64Wide has the 64-bit registers by name: offsets in struct pt_regs (asm/ptrace.h).
var amd64Wide = map[string]uint16{
	"r15": 0, "r14": 8, "r13": 16, "r12": 24, "rbp": 32, "rbx": 40, "r11": 48, "r10": 56, "r9": 64, "r8": 72,
	"rax": 80, "rcx": 88, "rdx": 96, "rsi": 104, "rdi": 112, "rsp": 152,
}

// amd64Register takes every name of a register's low bytes. The second byte of one (%ah) has no
// place of its own.
func amd64Register(name string) (uint16, bool) {
	wide := name
	switch n := len(name); {
	case strings.HasPrefix(name, "r"): // r8d, r8w, r8b
		if n > 2 && name[1] >= '0' && name[1] <= '9' {
			wide = strings.TrimRight(name, "dwb")
		}
	case n == 3 && name[0] == 'e', n == 3 && name[2] == 'l': // eax, sil
		wide = "r" + strings.TrimSuffix(strings.TrimPrefix(name, "e"), "l")
	case n == 2 && name[1] == 'l': // al
		wide = "r" + name[:1] + "x"
	case n == 2 && name[1] != 'h': // ax, si
		wide = "r" + name
	}
	register, ok := amd64Wide[wide]
	return register, ok
}

var arm64Memory = regexp.MustCompile(`^\[(x[0-9]+|sp)(?:, ?#?([-+]?(?:0x)?[0-9a-f]+))?\]$`)

// parseARM64 reads 5, x0, w0 and [sp, 16].
func parseARM64(operand string, a *Arg) bool {
	if m := arm64Memory.FindStringSubmatch(operand); m != nil {
		register, ok := arm64Register(m[1])
		return ok && a.memory(m[2], register)
	}
	switch operand {
	case "xzr", "wzr":
		a.How = Constant
		return true
	}
	if register, ok := arm64Register(operand); ok {
		a.How, a.Register = Register, register
		return true
	}
	return a.constant(strings.TrimPrefix(operand, "#"))
}

// arm64Register: struct user_pt_regs has x0 to x30, then sp.
func arm64Register(name string) (uint16, bool) {
	const sp = 31 * 8
	if name == "sp" {
		return sp, true
	}
	if !strings.HasPrefix(name, "x") && !strings.HasPrefix(name, "w") {
		return 0, false
	}
	n, err := strconv.ParseUint(name[1:], 10, 8)
	if err != nil || n > 30 {
		return 0, false
	}
	return uint16(n) * 8, true
}
