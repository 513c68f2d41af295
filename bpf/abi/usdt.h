/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * The interpreter's own probes (USDT): where they are, and what they say in an active period.
 */
#pragma once

#include <linux/types.h>

enum usdt_size {
	USDT_SITES = 512, /* places in the binaries of interpreters that have a probe on them */
	USDT_MODULE_LEN = 64,
	USDT_EVENT_LEN = 32,
	USDT_AUDITS = 8, /* different events kept of one period */
};

enum usdt_probe {
	USDT_GC_START = 1,
	USDT_GC_DONE,
	USDT_IMPORT_START,
	USDT_IMPORT_DONE,
	USDT_AUDIT,
};

enum usdt_how {
	USDT_UNKNOWN = 0,
	USDT_CONSTANT,
	USDT_REGISTER,
	USDT_MEMORY,
};

/* Where a site has an argument (internal/usdt). */
struct usdt_arg {
	__s64 offset;
	__u16 reg; /* in struct pt_regs, bytes */
	__u8 how;  /* enum usdt_how */
	__u8 size;
	__u8 is_signed;
	__u8 pad[3];
};

struct usdt_site {
	__u32 probe; /* enum usdt_probe */
	__u32 pad;
	struct usdt_arg arg; /* the first one */
};

/* What a thread is doing, as far as the probes tell. */
enum phase {
	PHASE_NONE = 0,
	PHASE_GC = 1,
	PHASE_IMPORT = 2,
	PHASES = 2,
};

/* Time in one phase; another phase within it is included. */
struct phase_time {
	__u64 ns;
	__u64 off_ns;               /* of it off the CPU */
	__u64 waited_or_stopped_ns; /* of that, runnable without a CPU or stopped */
};

/* An event of sys.audit and how often it came. */
struct audit_event {
	__u64 at; /* address of the name: string constants */
	__u32 count;
	char name[USDT_EVENT_LEN];
	__u32 pad;
};

/* What the probes said in one active period; by slot, and reset by the first probe of a period. */
struct usdt_account {
	__u32 type;
	__u32 tid;
	__u64 period;
	__u32 phase;          /* the outermost one that is open */
	__u32 imports_open;
	__u64 since;          /* that phase began */
	__u64 off_ns;         /* struct thread's at that moment */
	__u64 waited_or_stopped_ns; /* and that of waited_ns and stopped_ns */
	__u64 gc_since;       /* 0: no collection is going on */
	__u64 import_since;
	struct phase_time phases[PHASES]; /* by enum phase - 1: the outermost phase takes it all */
	__u64 gc_ns;          /* of all collections, those within imports, too */
	__u64 gc_max_ns;
	__s64 gc_collected;
	__u32 gcs;
	__s32 gc_generation;  /* going on */
	__s32 gc_max_generation; /* of the longest */
	__u32 imports;        /* one within another is not counted */
	__u64 import_ns;
	__u64 import_max_ns;
	char module[USDT_MODULE_LEN];     /* imported last */
	char max_module[USDT_MODULE_LEN]; /* whose import took longest */
	__u32 audits_more;    /* events there was no room for */
	__u32 pad;
	struct audit_event audits[USDT_AUDITS];
};
