package dev.silhouette.sample.ui

import android.content.Context
import android.util.AttributeSet
import android.view.View
import android.view.ViewGroup

/** Lays out its children like words: next to each other, on as many lines as needed. */
class FlowLayout
    @JvmOverloads
    constructor(
        context: Context,
        attributes: AttributeSet? = null,
    ) : ViewGroup(context, attributes) {
        private val gap = (8 * resources.displayMetrics.density).toInt()

        override fun onMeasure(
            widthMeasureSpec: Int,
            heightMeasureSpec: Int,
        ) {
            val width = MeasureSpec.getSize(widthMeasureSpec)
            for (i in 0 until childCount) {
                measureChild(
                    getChildAt(i),
                    MeasureSpec.makeMeasureSpec(width, MeasureSpec.AT_MOST),
                    heightMeasureSpec,
                )
            }
            setMeasuredDimension(width, resolveSize(flow(width) { _, _, _ -> }, heightMeasureSpec))
        }

        override fun onLayout(
            changed: Boolean,
            left: Int,
            top: Int,
            right: Int,
            bottom: Int,
        ) {
            val width = right - left
            flow(width) { child, x, y ->
                val start = if (layoutDirection == LAYOUT_DIRECTION_RTL) width - x - child.measuredWidth else x
                child.layout(start, y, start + child.measuredWidth, y + child.measuredHeight)
            }
        }

        /** Positions each child from the start and the top; returns the height of all. */
        private fun flow(
            width: Int,
            put: (View, Int, Int) -> Unit,
        ): Int {
            var x = 0
            var y = 0
            var line = 0
            for (i in 0 until childCount) {
                val child = getChildAt(i)
                if (child.visibility == GONE) continue
                if (x > 0 && x + child.measuredWidth > width) {
                    x = 0
                    y += line + gap
                    line = 0
                }
                put(child, x, y)
                x += child.measuredWidth + gap
                line = maxOf(line, child.measuredHeight)
            }
            return y + line
        }
    }
