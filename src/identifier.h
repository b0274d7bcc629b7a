/*
 * identifier.h
 *		What may be a brain key.
 */
#ifndef BRAIN_IDENTIFIER_H
#define BRAIN_IDENTIFIER_H

extern void CheckBrainKey(const char *brain_key);

#endif							/* BRAIN_IDENTIFIER_H */
