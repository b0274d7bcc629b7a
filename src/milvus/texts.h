/*
 * texts.h
 *		Texts on their way between the database's encoding and Milvus' UTF-8.
 */
#ifndef BRAIN_MILVUS_TEXTS_H
#define BRAIN_MILVUS_TEXTS_H

extern const char *TextToServer(const char *text);
extern char *TextFromServer(const void *bytes, Size length);
extern char *WordsFromServer(const void *bytes, Size length);
extern void RequireExpression(const char *expression);

#endif							/* BRAIN_MILVUS_TEXTS_H */
