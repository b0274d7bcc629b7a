/*
 * try.h
 *		Calling what may raise an error that is not ours to raise.
 */
#ifndef BRAIN_TRY_H
#define BRAIN_TRY_H

extern bool IsInterruption(const ErrorData *error);
extern ErrorData *Try(void (*function) (void *arg), void *arg);

#endif							/* BRAIN_TRY_H */
