/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * Everything that both the kernel side and user space know, declared once: records, map values,
 * enums, sizes and counters. The Go side is generated from these headers (internal/abi). They need
 * no kernel type and no helper, so anything may include them.
 */
#pragma once

#include "abi/counters.h"
#include "abi/listing.h"
#include "abi/python.h"
#include "abi/records.h"
#include "abi/statistics.h"
#include "abi/target.h"
#include "abi/thread.h"
#include "abi/usdt.h"
