/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * What commands of the host build read and print. Structs go in and out as hex digits.
 */
#pragma once

#include "helpers.h"

static __u64 read_number(void)
{
	long long n;

	if (scanf("%lli", &n) != 1)
		fail("a number is missing");
	return n;
}

static unsigned int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c < 'a' || c > 'f')
		fail("no hex digits");
	return c - 'a' + 10;
}

/* Reads hex digits; a zero byte follows the last one. */
static unsigned char *read_bytes(size_t *size)
{
	unsigned char *bytes;
	char *text;

	if (scanf("%ms", &text) != 1)
		fail("hex digits are missing");
	*size = strlen(text) / 2;
	bytes = allocate(*size + 1);
	for (size_t i = 0; i < *size; i++)
		bytes[i] = digit(text[2 * i]) << 4 | digit(text[2 * i + 1]);
	free(text);
	return bytes;
}

static void read_struct(void *to, size_t size)
{
	size_t n;
	unsigned char *bytes = read_bytes(&n);

	if (n != size)
		fail("a struct of another size");
	memcpy(to, bytes, size);
	free(bytes);
}

static void print_struct(const char *name, const void *data, size_t size)
{
	printf("%s ", name);
	print_hex(data, size);
	printf("\n");
}
