// SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only)
/*
 * The parts of the kernel side that need no kernel, compiled for the host: reads commands, a line
 * each, and prints what comes out. internal/probes/native_test.go writes the commands and works out
 * the answers by itself.
 */
#include "commands.h"

int main(void)
{
	static char word[64];

	while (scanf("%63s", word) == 1)
		command(word);
	return 0;
}
