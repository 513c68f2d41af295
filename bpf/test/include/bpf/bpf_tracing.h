/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/* Stands in for libbpf's header of this name, of which the headers under test use nothing. */
#pragma once
